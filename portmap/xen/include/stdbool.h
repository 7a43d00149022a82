/* SPDX-License-Identifier: GPL-2.0-only */
/* The state machine's <stdbool.h>, inside Xen. */
#include <xen/stdbool.h>
