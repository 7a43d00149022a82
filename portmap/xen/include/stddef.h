/* SPDX-License-Identifier: GPL-2.0-only */
/* The state machine's <stddef.h>, inside Xen: NULL, size_t, offsetof. */
#include <xen/compiler.h>
#include <xen/types.h>
