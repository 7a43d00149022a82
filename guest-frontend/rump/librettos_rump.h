/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A rump kernel's network interface as a guest of librettos-netserver: what a program that boots the kernel may ask of
 * it. Programs that only use the kernel need nothing of this. Call from a thread that is not in the kernel, after
 * rump_init().
 */
#ifndef LIBRETTOS_RUMP_H
#define LIBRETTOS_RUMP_H

#include <librettos/frontend.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What the server offers to this process's interface. -ENOTCONN: there is none, or no server took it yet. */
int librettos_rump_offer(struct lvif_offer* offer);

/* Creates the interface ("virt0"), which waits for a server, and gives it the offer's addresses, default routes and
 * MTU. Needs librumpnet_config; IPv6 needs librumpnet_netinet6. 0 or an error number of NetBSD's; -ENOSYS:
 * librumpnet_config is not linked. What was done until the error stays. */
int librettos_rump_ifup(char const* interface);

#ifdef __cplusplus
}
#endif

#endif
