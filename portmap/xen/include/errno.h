/* SPDX-License-Identifier: GPL-2.0-only */
/* The state machine's <errno.h>, inside Xen. */
#ifndef PORTMAP_ERRNO_H
#define PORTMAP_ERRNO_H

#include <xen/errno.h>

#define EDQUOT 122 /* Linux' number: Xen has none */

#endif
