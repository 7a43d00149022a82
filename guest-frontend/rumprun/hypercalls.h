/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the two halves of the component ask of each other. The kernel half is NetBSD code, compiled with the kernel's headers
 * (if_virt.c of the platform, kernel_*.c); the user half lies beneath the kernel (all other files). Names that begin with rump are
 * the same in both.
 *
 * Called by the kernel half scheduled; those that may wait give the virtual CPU and the kernel lock away meanwhile.
 */
#ifndef LIBRETTOS_RUMPRUN_HYPERCALLS_H
#define LIBRETTOS_RUMPRUN_HYPERCALLS_H

/* Of the connected interface; zero: none. */
struct lvif_addresses {
	unsigned char ipv4[4];
	unsigned char gateway4[4];
	unsigned char ipv6[16];
	unsigned char gateway6[16];
	int ipv4_prefix;
	int ipv6_prefix;
	int mtu;
};

/* 0: there is no connected interface. */
int rumpcomp_lvif_addresses(struct lvif_addresses *addresses);

/* Of operations on ports; an error number of NetBSD's. */
#define LVIF_PORTS_IN_USE 48 /* EADDRINUSE: another's, or the limit is reached */
#define LVIF_PORTS_NOBODY 50 /* ENETDOWN: no answer in 5 s */

/* Whether ports have to be claimed: 0 for a dedicated guest. */
int rumpcomp_lvif_ports_shared(void);
/* Wait for the answer. protocol: 6 or 17. Ports in host order. */
int rumpcomp_lvif_port_claim(int protocol, unsigned port);
int rumpcomp_lvif_port_release(int protocol, unsigned port);
/* A block of `count` ports of both protocols. */
int rumpcomp_lvif_ports_lease(unsigned count, unsigned *first);

#endif
