/* SPDX-License-Identifier: BSD-2-Clause */
/* Kernel half: ports. */
#ifndef LIBRETTOS_RUMPRUN_KERNEL_CLAIMS_H
#define LIBRETTOS_RUMPRUN_KERNEL_CLAIMS_H

/* Sockets of the domain ask from now on, once lvif_claim_ports() was called. Before there are any. */
void lvif_hook_domain(int family);
/* The interface is connected. */
void lvif_claim_ports(void);

#endif
