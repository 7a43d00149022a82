/* SPDX-License-Identifier: GPL-2.0-only */
/* The portmap's table: its pages, and the domain that may map them. */
#include <xen/init.h>
#include <xen/mm.h>
#include <xen/pfn.h>
#include <xen/portmap.h>
#include <xen/sched.h>

#include <librettos/portmap_hypercall.h>

#include "table.h"

#define FRAMES PFN_UP(LVIF_PORTMAP_BYTES)

static mfn_t __read_mostly first_frame;
static unsigned int __read_mostly frames; /* 0: there is no table */
/* Written under the portmap's lock, read by portmap_may_map() without. */
static uint16_t server = LVIF_PORTMAP_NOBODY;

struct lvif_portmap *__init portmap_table_create(void)
{
    unsigned int order = get_order_from_bytes(LVIF_PORTMAP_BYTES);
    char *table = alloc_xenheap_pages(order, 0);
    unsigned int i;

    if ( !table )
        return NULL;
    for ( i = FRAMES; i < (1U << order); i++ )
        free_xenheap_page(table + i * PAGE_SIZE);
    for ( i = 0; i < FRAMES; i++ )
    {
        clear_page(table + i * PAGE_SIZE);
        share_xen_page_with_privileged_guests(
            virt_to_page(table + i * PAGE_SIZE), SHARE_ro);
    }
    first_frame = virt_to_mfn(table);
    frames = FRAMES;
    return (struct lvif_portmap *)table;
}

uint64_t portmap_table_first_frame(void)
{
    return mfn_x(first_frame);
}

bool portmap_is_server(const struct domain *d)
{
    return read_atomic(&server) == d->domain_id;
}

/* In get_page_from_l1e(), which took its reference to the page before. */
bool portmap_may_map(const struct domain *d, mfn_t mfn)
{
    return mfn_x(mfn) - mfn_x(first_frame) < frames && portmap_is_server(d);
}

/* By anyone: each page has one reference of its own. */
static bool is_mapped(void)
{
    struct page_info *page = mfn_to_page(first_frame);
    unsigned int i;

    for ( i = 0; i < frames; i++ )
        if ( (read_atomic(&page[i].count_info) & PGC_count_mask) != 1 )
            return true;
    return false;
}

void portmap_unassign(void)
{
    write_atomic(&server, LVIF_PORTMAP_NOBODY);
}

int portmap_assign(uint16_t domain)
{
    uint16_t old = server;

    if ( domain == old )
        return 0;
    /*
     * First nobody may map any more, then it is looked whether somebody does:
     * a mapping on its way either is seen here or sees that it must not be.
     */
    write_atomic(&server, LVIF_PORTMAP_NOBODY);
    smp_mb();
    if ( is_mapped() )
    {
        write_atomic(&server, old);
        return -EBUSY;
    }
    write_atomic(&server, domain);
    return 0;
}
