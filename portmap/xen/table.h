/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The table's pages, and who may map them: one domain, the server that the
 * control domain assigned, read-only.
 *
 * They belong to DOMID_XEN, pinned as not writable, so that no page table of a
 * PV domain gets a writable entry for them, the assigned one's neither. (A
 * privileged domain may map read-only whatever is DOMID_XEN's, here as
 * elsewhere.) They are never freed.
 */
#ifndef PORTMAP_TABLE_H
#define PORTMAP_TABLE_H

#include <librettos/portmap.h>

struct domain;

/* Zeroed; NULL: no memory. */
struct lvif_portmap *portmap_table_create(void);

/* The caller holds the portmap's lock. */
uint64_t portmap_table_first_frame(void);
bool portmap_is_server(const struct domain *d);
void portmap_unassign(void);
/* `domain`: LVIF_PORTMAP_NOBODY for none. -EBUSY: another one maps it. */
int portmap_assign(uint16_t domain);

#endif
