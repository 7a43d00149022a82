/* SPDX-License-Identifier: GPL-2.0-only */
/* The state machine's <stdint.h>, inside Xen. */
#ifndef PORTMAP_STDINT_H
#define PORTMAP_STDINT_H

#include <xen/types.h>

#ifndef UINT64_MAX
#define UINT64_MAX (~(uint64_t)0)
#endif

#endif
