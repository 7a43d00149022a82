/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The calls that tests/hostile is written against (hypervisord_client.h), as a guest's on Xen: the same attacks run in
 * a real domU.
 *
 * Only what attacks need. The domain is the one that this runs in, whatever name is asked for, and ports are
 * the hypervisor's by hypercall; where the server keeps them, the attacks ask it over the control ring.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <librettos/frontend.h>
#include <xenstore.h>

#include "hypervisord_client.h"
#include "port_hypercall.h"
#include "xen_environment.h"

struct lvif_hv {
    struct lvif_xen* xen;
    struct lvif_environment environment;
    struct xs_handle* store;         /* for what the environment has no call */
    struct lvif_xencall* hypercalls; /* opened when the first port is asked for */
};

int lvif_hv_connect(char const* socket_path, enum lvif_hv_role role, char const* name, struct lvif_hv** result) {
    struct lvif_hv* const hv = calloc(1, sizeof(*hv));
    char const* why = "out of memory";
    int status = -ENOMEM;

    (void)socket_path;
    (void)name;
    if (hv != NULL && role == LVIF_HV_GUEST)
        status = lvif_xen_open(&lvif_xen_linux_calls, &hv->xen, &why);
    if (status == 0) {
        hv->store = xs_open(0);
        status = hv->store == NULL ? -errno : 0;
    }
    if (status != 0) {
        fprintf(stderr, "%s: %s\n", why, strerror(-status));
        lvif_hv_close(hv);
        return status;
    }
    lvif_xen_environment(hv->xen, &hv->environment);
    *result = hv;
    return 0;
}

void lvif_hv_close(struct lvif_hv* hv) {
    if (hv == NULL)
        return;
    lvif_xencall_close(hv->hypercalls);
    if (hv->store != NULL)
        xs_close(hv->store);
    lvif_xen_close(hv->xen);
    free(hv);
}

uint16_t lvif_hv_self(struct lvif_hv const* hv) {
    return lvif_xen_self(hv->xen);
}

int lvif_hv_read(struct lvif_hv* hv, char const* path, char* value, size_t size) {
    return hv->environment.store_read(hv->xen, path, value, size);
}

int lvif_hv_write(struct lvif_hv* hv, char const* path, char const* value) {
    return hv->environment.store_write(hv->xen, path, value);
}

int lvif_hv_remove(struct lvif_hv* hv, char const* path) {
    return xs_rm(hv->store, XBT_NULL, path) ? 0 : -errno;
}

int lvif_hv_watch(struct lvif_hv* hv, char const* path) {
    return hv->environment.store_watch(hv->xen, path);
}

void* lvif_hv_pages_allocate(struct lvif_hv* hv, size_t bytes) {
    return hv->environment.pages_allocate(hv->xen, bytes);
}

int lvif_hv_share(struct lvif_hv* hv, void* pages, size_t bytes, uint16_t domain, uint32_t* region) {
    int const status = hv->environment.share(hv->xen, pages, bytes, domain, region);

    if (status != 0)
        fprintf(stderr, "%s\n", lvif_xen_error(hv->xen));
    return status;
}

int lvif_hv_unshare(struct lvif_hv* hv, uint32_t region) {
    return hv->environment.unshare(hv->xen, region);
}

int lvif_hv_event_allocate(struct lvif_hv* hv, uint16_t domain, uint32_t* port) {
    return hv->environment.event_allocate(hv->xen, domain, port);
}

void lvif_hv_event_free(struct lvif_hv* hv, uint32_t port) {
    hv->environment.event_free(hv->xen, port);
}

void lvif_hv_event_notify(struct lvif_hv* hv, uint32_t port) {
    hv->environment.event_notify(hv->xen, port);
}

/* -ENOSYS: a hypervisor without a portmap. */
static int hypercaller(struct lvif_hv* hv, struct lvif_portmap_caller* caller) {
    int const status = hv->hypercalls == NULL ? lvif_xencall_open(&hv->hypercalls) : 0;

    if (status == 0)
        *caller = lvif_xencall_caller(hv->hypercalls);
    return status;
}

int lvif_hv_port_bind(struct lvif_hv* hv, uint8_t protocol, uint16_t port, uint16_t* bound) {
    struct lvif_portmap_caller caller;
    int const status = hypercaller(hv, &caller);

    return status != 0 ? status : lvif_portmap_bind(&caller, protocol, port, bound);
}

int lvif_hv_port_lease(struct lvif_hv* hv, uint8_t protocol, uint16_t count, uint16_t* first) {
    struct lvif_portmap_caller caller;
    int const status = hypercaller(hv, &caller);

    return status != 0 ? status : lvif_portmap_lease(&caller, protocol, count, first);
}

int lvif_hv_port_release(struct lvif_hv* hv, uint8_t protocol, uint16_t first, uint16_t count) {
    struct lvif_portmap_caller caller;
    int const status = hypercaller(hv, &caller);

    return status != 0 ? status : lvif_portmap_release(&caller, protocol, first, count);
}
