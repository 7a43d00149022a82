/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The portmap, for the rest of the hypervisor: xen/include/xen/portmap.h.
 * What hooks.patch puts into Xen's files calls these.
 */
#ifndef XEN_PORTMAP_H
#define XEN_PORTMAP_H

#include <xen/mm-frame.h>
#include <xen/types.h>

struct domain;

/* What xsm_portmap_op() is asked. */
enum portmap_access
{
    PORTMAP_ACCESS_USE,     /* for itself, or as the assigned server */
    PORTMAP_ACCESS_CONTROL, /* for others */
};

#if defined(CONFIG_X86) && !defined(CONFIG_PV_SHIM_EXCLUSIVE)

/* Once the domain has stopped running. -ERESTART: to be called again. */
int portmap_domain_destroy(struct domain *d);

/* May `d`, which has a reference to the page, map it, though the page is not
 * its own? Read-only: who calls this sees to it. */
bool portmap_may_map(const struct domain *d, mfn_t mfn);

#else

static inline int portmap_domain_destroy(struct domain *d)
{
    return 0;
}

static inline bool portmap_may_map(const struct domain *d, mfn_t mfn)
{
    return false;
}

#endif

#endif
