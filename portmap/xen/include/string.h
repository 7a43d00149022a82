/* SPDX-License-Identifier: GPL-2.0-only */
/* The state machine's <string.h>, inside Xen. */
#include <xen/string.h>
