/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A VF for a guest whose stack is in its process, driven by DPDK there. The VF is one of the server's NIC ([direct] in
 * its configuration), bound to vfio-pci, and in reach of this process.
 */
#ifndef LIBRETTOS_LVIF_DPDK_H
#define LIBRETTOS_LVIF_DPDK_H

#ifdef __cplusplus
extern "C" {
#endif

struct lvif_vf; /* lvif_netif_options takes it */

#pragma GCC visibility push(default)

/* pci_address: as of "0000:01:10.0", copied. Nothing is done with the VF, nor with DPDK, before a switch. NULL: no
 * memory. */
struct lvif_vf* lvif_dpdk_vf_create(char const* pci_address);
/* When no interface uses it any more. */
void lvif_dpdk_vf_destroy(struct lvif_vf* vf);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
