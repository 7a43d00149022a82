/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a rump kernel's network interface and its user half promise each other (virtif, revision 20140313), as far as
 * this component uses it. VIRTIF_BASE names the interface: with `virt`, X0 is virt0.
 *
 * The user half implements rumpcomp_X_create, _send, _dying and _destroy. They are called scheduled: the thread has a
 * virtual CPU of the rump kernel, and may hold its big lock. Who blocks gives both away first,
 * rumpuser_component_unschedule(), and takes them back with what that returned. A thread of one's own calls
 * rumpuser_component_kthread() once, is then unscheduled, and calls into the kernel only between
 * rumpuser_component_schedule(NULL) and rumpuser_component_unschedule().
 */
#ifndef LIBRETTOS_RUMP_CONTRACT_H
#define LIBRETTOS_RUMP_CONTRACT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#ifndef VIRTIF_BASE
#define VIRTIF_BASE virt
#endif
#define VIRTIF_PASTE_(a, b, c) a##b##c
#define VIRTIF_PASTE(a, b, c) VIRTIF_PASTE_(a, b, c)
#define VIRTIF_USER(function) VIRTIF_PASTE(rumpcomp_, VIRTIF_BASE, _##function)
#define VIRTIF_KERNEL(function) VIRTIF_PASTE(rump_virtif_, VIRTIF_BASE, _##function)

#ifdef __cplusplus
extern "C" {
#endif

struct virtif_sc;   /* the kernel's half of an interface */
struct virtif_user; /* ours */

#pragma GCC visibility push(default)

/* device: the unit's number, or what the user set as link string. address: a MAC that may be overwritten. Returns an
 * error number of NetBSD's. */
int VIRTIF_USER(create)(char const* device, struct virtif_sc* kernel_half, uint8_t* address,
                        struct virtif_user** user_half);
/* One frame in n <= 32 parts, which are the kernel's again on return. May be dropped. One thread at a time. */
void VIRTIF_USER(send)(struct virtif_user* user_half, struct iovec* parts, size_t n);
/* The interface goes: destroy comes next. */
int VIRTIF_USER(dying)(struct virtif_user* user_half);
/* Nothing is delivered after this has returned. */
void VIRTIF_USER(destroy)(struct virtif_user* user_half);

/* One whole frame to the kernel, which copies it. */
void VIRTIF_KERNEL(deliverpkt)(struct virtif_sc* kernel_half, struct iovec* parts, size_t n);

void* rumpuser_component_unschedule(void);
void rumpuser_component_schedule(void* cookie);
void rumpuser_component_kthread(void);
void rumpuser_component_kthread_release(void);
/* NetBSD's number for an errno of the host. */
int rumpuser_component_errtrans(int host_errno);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
