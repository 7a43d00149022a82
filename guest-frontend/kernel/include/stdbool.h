/* SPDX-License-Identifier: BSD-2-Clause */
/* For the frontend library, with the kernel's bool. */
#ifndef LIBRETTOS_KERNEL_STDBOOL_H
#define LIBRETTOS_KERNEL_STDBOOL_H

#include <linux/types.h>

#endif
