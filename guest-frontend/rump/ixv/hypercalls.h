/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the two halves of a VF in a rump kernel promise each other: kernel_ixv.c, which is compiled with the kernel's
 * headers, and guest-frontend/rump/pci, which is not. Errors are NetBSD's numbers.
 */
#ifndef LIBRETTOS_RUMP_IXV_HYPERCALLS_H
#define LIBRETTOS_RUMP_IXV_HYPERCALLS_H

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

/* ---- the kernel's half. Called scheduled, by one thread. */

/* The VF is reset and started, which takes a while of sleeping. ENXIO: there is no ixv0. */
int rump_librettos_ixv_up(void);
/* It receives and sends nothing more. What the driver had not given to the VF is lost. */
void rump_librettos_ixv_down(void);
/* One frame, which is copied. 0: sent, or lost for want of memory; EAGAIN: no room. */
int rump_librettos_ixv_send(void const* frame, unsigned length);
/* Frames that were sent, and that the driver has not given to the VF. */
unsigned rump_librettos_ixv_waiting(void);
/* The VF receives the multicast groups that the kernel's other interfaces are in. */
void rump_librettos_ixv_join_groups(void);

/* ---- the user's half. Called scheduled; does not block. */

struct iovec;
/* A frame that the VF received, in n parts which are the kernel's again on return. */
void rumpcomp_librettos_ixv_received(struct iovec const* parts, unsigned n);
/* The MSI-X vectors of the function; of 0, if it has none. */
unsigned rumpcomp_librettos_msix_vectors(unsigned bus, unsigned device, unsigned function);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
