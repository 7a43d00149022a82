/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Kernel half: NetBSD's ixv as the direct path of another interface, which keeps the address and the connections.
 *
 * ixv0 is attached with the PCI bus, when the kernel starts. It has no address of the stack's and is up while the
 * server has switched the guest to it. What it receives goes to the user half instead of the stack, so that it comes in
 * through the guest's interface, in the order that the switch demands; what the guest's interface sends comes from
 * there. The driver's locks are its own, so nothing here takes the kernel's big one.
 */
#include <sys/cdefs.h>
#include <sys/param.h>

#include <sys/errno.h>
#include <sys/kernel.h>
#include <sys/lwp.h>
#include <sys/mbuf.h>
#include <sys/socket.h>
#include <sys/sockio.h>
#include <sys/systm.h>
#include <sys/uio.h>

#include <net/if.h>
#include <net/if_dl.h>
#include <net/if_ether.h>
#include <net/if_media.h>
#include <net/if_types.h>

#include <rump/rumpuser.h>

#include "hypercalls.h"

#define MOST_PARTS 8
#define LONG_DELAY_US 100u

/* What the driver calls for if_percpuq_enqueue(): the Makefile. */
void librettos_ixv_received(struct if_percpuq* queue, struct mbuf* frame);

static struct ifnet* vf; /* while up */
static void (*kernel_delay)(unsigned);
static struct lwp* patient; /* who starts or stops the VF */

/* A driver waits for the PF by looping, 50 ms and more. Nobody gains from a processor that is kept so. */
static void sleep_or_delay(unsigned us) {
    if (us >= LONG_DELAY_US && curlwp == patient) {
        rumpuser_clock_sleep(RUMPUSER_CLOCK_RELWALL, us / 1000000, (long)(us % 1000000) * 1000);
    } else {
        kernel_delay(us);
    }
}

static void be_patient(bool wanted) {
    if (kernel_delay == NULL) {
        kernel_delay = delay_func;
        delay_func = sleep_or_delay;
    }
    patient = wanted ? curlwp : NULL;
}

/* Asked for its medium the driver takes the link's state over at once, not with its timer of a second. */
static void look_at_link(struct ifnet* ifp) {
    struct ifmediareq request;

    memset(&request, 0, sizeof(request));
    (*ifp->if_ioctl)(ifp, SIOCGIFMEDIA, &request);
}

int rump_librettos_ixv_up(void) {
    struct ifnet* const ifp = ifunit("ixv0");
    int error;

    if (ifp == NULL) {
        return ENXIO;
    }
    vf = ifp;
    be_patient(true);
    rump_librettos_ixv_join_groups();
    ifp->if_flags |= IFF_UP;
    error = (*ifp->if_init)(ifp);
    if (error == 0 && (ifp->if_flags & IFF_RUNNING) == 0) {
        error = EIO;
    }
    look_at_link(ifp);
    be_patient(false);
    if (error != 0) {
        rump_librettos_ixv_down();
    }
    return error;
}

void rump_librettos_ixv_down(void) {
    struct ifnet* const ifp = vf;

    if (ifp == NULL) {
        return;
    }
    be_patient(true);
    (*ifp->if_stop)(ifp, 1);
    ifp->if_flags &= ~IFF_UP;
    be_patient(false);
    IFQ_PURGE(&ifp->if_snd);
    vf = NULL;
}

unsigned rump_librettos_ixv_waiting(void) {
    return vf == NULL ? 0 : (unsigned)vf->if_snd.ifq_len;
}

int rump_librettos_ixv_send(void const* frame, unsigned length) {
    struct ifnet* const ifp = vf;
    struct mbuf* m;
    int error;

    if (ifp == NULL || IF_QFULL(&ifp->if_snd)) {
        return EAGAIN;
    }
    m = m_gethdr(M_DONTWAIT, MT_DATA);
    if (m != NULL && length > MHLEN) {
        MCLGET(m, M_DONTWAIT);
    }
    if (m == NULL || length > (unsigned)M_TRAILINGSPACE(m)) {
        m_freem(m);
        return 0;
    }
    memcpy(mtod(m, void*), frame, length);
    m->m_len = m->m_pkthdr.len = (int)length;
    IFQ_ENQUEUE(&ifp->if_snd, m, error);
    if (error == 0 && (ifp->if_flags & IFF_OACTIVE) == 0) {
        (*ifp->if_start)(ifp);
    }
    return 0;
}

void librettos_ixv_received(struct if_percpuq* queue, struct mbuf* frame) {
    struct iovec parts[MOST_PARTS];
    unsigned n = 0;
    struct mbuf* m;

    for (m = frame; m != NULL && n < MOST_PARTS; m = m->m_next, ++n) {
        parts[n].iov_base = mtod(m, void*);
        parts[n].iov_len = (size_t)m->m_len;
    }
    if (m == NULL) {
        rumpcomp_librettos_ixv_received(parts, n);
    }
    m_freem(frame);
}

/* Of one group; the driver hears of it, and tells the PF. */
static void join(struct ifnet* ifp, uint8_t const* address) {
    struct ifreq request;

    memset(&request, 0, sizeof(request));
    request.ifr_addr.sa_len = sizeof(request.ifr_addr);
    request.ifr_addr.sa_family = AF_UNSPEC;
    memcpy(request.ifr_addr.sa_data, address, ETHER_ADDR_LEN);
    (*ifp->if_ioctl)(ifp, SIOCADDMULTI, &request);
}

static bool is_in(struct ethercom* ec, uint8_t const* address) {
    struct ether_multi* group;

    LIST_FOREACH(group, &ec->ec_multiaddrs, enm_list) {
        if (memcmp(group->enm_addrlo, address, ETHER_ADDR_LEN) == 0) {
            return true;
        }
    }
    return false;
}

/* Groups that nobody is in any more stay: the guest's interface lets nothing in that it does not want. */
void rump_librettos_ixv_join_groups(void) {
    struct ifnet* ifp;

    if (vf == NULL) {
        return;
    }
    KERNEL_LOCK(1, NULL); /* the lists change with it */
    IFNET_READER_FOREACH(ifp) {
        struct ether_multi* group;

        if (ifp == vf || ifp->if_type != IFT_ETHER) {
            continue;
        }
        LIST_FOREACH(group, &((struct ethercom*)ifp)->ec_multiaddrs, enm_list) {
            if (!is_in((struct ethercom*)vf, group->enm_addrlo)) {
                join(vf, group->enm_addrlo);
            }
        }
    }
    KERNEL_UNLOCK_ONE(NULL);
}
