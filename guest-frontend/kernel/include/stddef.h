/* SPDX-License-Identifier: BSD-2-Clause */
/* For the frontend library, with the kernel's size_t, NULL and offsetof. */
#ifndef LIBRETTOS_KERNEL_STDDEF_H
#define LIBRETTOS_KERNEL_STDDEF_H

#include <linux/stddef.h>
#include <linux/types.h>

#endif
