/* SPDX-License-Identifier: BSD-2-Clause */
/* The part of <stdint.h> that the frontend library uses; the kernel has the types elsewhere. */
#ifndef LIBRETTOS_KERNEL_STDINT_H
#define LIBRETTOS_KERNEL_STDINT_H

#include <linux/limits.h>
#include <linux/types.h>

#define UINT16_MAX U16_MAX
#define UINT32_MAX U32_MAX
#define UINT64_MAX U64_MAX

#endif
