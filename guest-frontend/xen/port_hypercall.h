/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest's ports by hypercall, where the hypervisor itself is the portmap's authority (librettos/portmap_hypercall.h).
 *
 * The lvif_portmap_* functions are freestanding C11 over one function that makes a hypercall, for any kind of guest. The
 * lvif_xencall_* functions are that function for a Linux guest: libxencall on /dev/xen/privcmd, which Debian's kernel opens to a
 * domU only when the module xen-privcmd was loaded with unrestricted=1.
 */
#ifndef LIBRETTOS_PORT_HYPERCALL_H
#define LIBRETTOS_PORT_HYPERCALL_H

#include <stdint.h>

#include <librettos/portmap_hypercall.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Makes hypercall LVIF_PORTMAP_HYPERCALL. `structure` is the operation's, `bytes` long, and comes back as the hypervisor
 * left it. Returns the hypervisor's answer: 0 or a negative Linux errno. */
struct lvif_portmap_caller {
	int (*call)(void *context, enum lvif_portmap_operation operation, void *structure, uint32_t bytes);
	void *context;
};

/* 0: the hypervisor is the authority. -ENOSYS: it has no such hypercall. -EPROTO: another ABI version. -EPERM: the
 * guest's kernel refuses to make hypercalls for user space. `features` may be NULL. */
int lvif_portmap_probe(struct lvif_portmap_caller const *caller, struct lvif_portmap_features *features);

/* As librettos/portmap.h says; `bound` and `first` may be NULL. */
int lvif_portmap_bind(struct lvif_portmap_caller const *caller, uint8_t protocol, uint16_t port, uint16_t *bound);
int lvif_portmap_lease(struct lvif_portmap_caller const *caller, uint8_t protocol, uint32_t count, uint16_t *first);
int lvif_portmap_release(struct lvif_portmap_caller const *caller, uint8_t protocol, uint16_t first, uint32_t count);

/* Linux. One thread at a time. */
struct lvif_xencall;

/* 0 or a negative errno: -ENOENT when there is no /dev/xen/privcmd, -EACCES when this user may not open it, -ENOMEM. Does
 * not ask the hypervisor anything yet. */
int lvif_xencall_open(struct lvif_xencall **xencall);
void lvif_xencall_close(struct lvif_xencall *xencall); /* NULL: nothing */
/* Valid until lvif_xencall_close(). */
struct lvif_portmap_caller lvif_xencall_caller(struct lvif_xencall *xencall);

#ifdef __cplusplus
}
#endif

#endif
