/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What rumprun's kernel half of a network interface (platform/xen/librumpnet_xenif/if_virt.c) and its user half promise each other, for
 * the base name that VIRTIF_BASE gives. All four are called scheduled and, but for create, under the kernel lock.
 */
#ifndef LIBRETTOS_RUMPRUN_CONTRACT_H
#define LIBRETTOS_RUMPRUN_CONTRACT_H

#include <stddef.h>
#include <stdint.h>

#ifndef VIRTIF_BASE
#define VIRTIF_BASE lvif
#endif
#define VIRTIF_PASTE_(a, b, c) a##b##c
#define VIRTIF_PASTE(a, b, c) VIRTIF_PASTE_(a, b, c)
#define VIFHYPER_CREATE VIRTIF_PASTE(rumpcomp_, VIRTIF_BASE, _create)
#define VIFHYPER_SEND VIRTIF_PASTE(rumpcomp_, VIRTIF_BASE, _send)
#define VIFHYPER_DYING VIRTIF_PASTE(rumpcomp_, VIRTIF_BASE, _dying)
#define VIFHYPER_DESTROY VIRTIF_PASTE(rumpcomp_, VIRTIF_BASE, _destroy)
/* The platform's name has no base in it. The build gives it one, so that both components fit into one unikernel. */
#define VIRTIF_DELIVER VIRTIF_PASTE(rump_virtif_, VIRTIF_BASE, _deliver)

struct virtif_sc;   /* the kernel's half */
struct virtif_user; /* ours */
/* As in the kernel's headers, which the user half has not. */
struct iovec {
	void *iov_base;
	unsigned long iov_len;
};

/* address: to be overwritten. An error number of NetBSD's. */
int VIFHYPER_CREATE(int unit, struct virtif_sc *kernel_half, uint8_t *address, struct virtif_user **user_half);
/* One frame. Does not block; may drop it. */
void VIFHYPER_SEND(struct virtif_user *user_half, struct iovec *parts, size_t n);
void VIFHYPER_DYING(struct virtif_user *user_half);
void VIFHYPER_DESTROY(struct virtif_user *user_half);

/* One whole frame to the kernel, which copies it and may let others run. */
void VIRTIF_DELIVER(struct virtif_sc *kernel_half, struct iovec *parts, size_t n);

#endif
