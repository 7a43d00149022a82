/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Client of librettos-hypervisord, the local stand-in for the hypervisor: the one implementation, used by
 * guests (librettos-guest, rump kernels in Linux processes) and by the server.
 *
 * C11 with libc. One connection is one domain for a guest: the domain is created by lvif_hv_connect and
 * destroyed when the connection ends, however it ends. Every request waits for its reply (hypervisord is trusted, as a
 * hypervisor is; a reply that does not come within 5 s is -ETIMEDOUT and the connection is then useless). Requests may be
 * made from any thread; watch events that arrive in between are kept until they are taken.
 *
 * Functions that return int: 0 or more, or a negative errno: -EPERM for an operation that the role may not do, -EACCES for a
 * store path or region that is not the caller's, -ECONNRESET when hypervisord is gone.
 */
#ifndef LIBRETTOS_HYPERVISORD_CLIENT_H
#define LIBRETTOS_HYPERVISORD_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <librettos/portmap.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LVIF_HV_DEFAULT_SOCKET "/run/librettos/hypervisor.sock"
#define LVIF_HV_NAME_MAX 63 /* bytes of a domain's name, [A-Za-z0-9._-], first one a letter or digit */
#define LVIF_HV_PATH_MAX 255
#define LVIF_HV_VALUE_MAX 1023

struct lvif_hv;
struct lvif_environment; /* librettos/frontend.h */

enum lvif_hv_role {
	LVIF_HV_GUEST = 0, /* a new domain; its name must be free (-EEXIST) */
	LVIF_HV_SERVER =
	        1, /* the server's domain, at most one connection at a time (-EBUSY); needs hypervisord's own uid or root (-EACCES) */
	LVIF_HV_CONTROL = 2 /* the control domain (0): tools and tests; same right */
};

/* socket_path NULL: $LIBRETTOS_HYPERVISOR_SOCKET, else the default. name: of a guest's domain. */
int lvif_hv_connect(char const *socket_path, enum lvif_hv_role role, char const *name, struct lvif_hv **hv);
void lvif_hv_close(struct lvif_hv *hv);
uint16_t lvif_hv_self(struct lvif_hv const *hv);
/* Readable when watch events (or the end of the connection) are there: poll(2) it, then take them. */
int lvif_hv_fd(struct lvif_hv const *hv);

/* store: paths are absolute; a guest reads and writes below /local/domain/<self>/, and reads its backend directory */
int lvif_hv_read(struct lvif_hv *hv, char const *path, char *value, size_t size);
int lvif_hv_write(struct lvif_hv *hv, char const *path, char const *value);
int lvif_hv_remove(struct lvif_hv *hv, char const *path); /* with all below; -ENOENT */
/* Server and control: `owner` may write and read, `reader` may read, at path and below; creates the path when needed. */
int lvif_hv_permit(struct lvif_hv *hv, char const *path, uint16_t owner, uint16_t reader);
/* Names of the children, each NUL-terminated, one after the other; returns their number. -EMSGSIZE with *needed. */
int lvif_hv_list(struct lvif_hv *hv, char const *path, char *names, size_t size, size_t *needed);
/* Fires once at once, then at each change at or below path. A domain's appearing or going fires "/local/domain". When
 * more happens than a slow reader takes, its events for one watch become a single one with changed == watched: look at all
 * that is below. A guest may watch what it may read (-EACCES). */
int lvif_hv_watch(struct lvif_hv *hv, char const *path);
int lvif_hv_unwatch(struct lvif_hv *hv, char const *path);
/* 1: *watched is the path given to lvif_hv_watch, *changed the path that changed (each LVIF_HV_PATH_MAX + 1 bytes);
 * 0: none; -ECONNRESET: hypervisord is gone. Never blocks. */
int lvif_hv_take_event(struct lvif_hv *hv, char *watched, char *changed);

/* shared memory: regions of sealed memfds */
void *lvif_hv_pages_allocate(struct lvif_hv *hv, size_t bytes);
void lvif_hv_pages_free(struct lvif_hv *hv, void *pages, size_t bytes);
int lvif_hv_share(struct lvif_hv *hv, void *pages, size_t bytes, uint16_t domain, uint32_t *region);
int lvif_hv_unshare(struct lvif_hv *hv, uint32_t region);
/* Server: maps another domain's region, exactly `bytes` long, read-write. With life_sign_offset >= 0: when this connection
 * ends or the mapping is undone, hypervisord writes 0 to that byte of the region and notifies event_port. */
int lvif_hv_map(struct lvif_hv *hv, uint16_t domain, uint32_t region, size_t bytes, int64_t life_sign_offset,
                uint32_t event_port, void **address);
int lvif_hv_unmap(struct lvif_hv *hv, uint16_t domain, uint32_t region, void *address, size_t bytes);

/* events: each end of a channel has a file descriptor of its own that can be polled, and notifies with a call that
 * never blocks. hypervisord_protocol.h says what they are made of and why a hostile guest cannot block the server. A
 * port is not to be freed while another thread still notifies or clears it. */
int lvif_hv_event_allocate(struct lvif_hv *hv, uint16_t domain, uint32_t *port);                  /* guest */
int lvif_hv_event_bind(struct lvif_hv *hv, uint16_t domain, uint32_t port, uint32_t *local_port); /* server */
void lvif_hv_event_free(struct lvif_hv *hv, uint32_t port);
int lvif_hv_event_fd(struct lvif_hv *hv, uint32_t port);      /* readable when notified; owned by hv */
void lvif_hv_event_notify(struct lvif_hv *hv, uint32_t port); /* any thread */
void lvif_hv_event_clear(struct lvif_hv *hv, uint32_t port);  /* takes the notifications, bounded work; any thread */

/* portmap (portmap.h says the errors) */
int lvif_hv_port_bind(struct lvif_hv *hv, uint8_t protocol, uint16_t port, uint16_t *bound);
int lvif_hv_port_lease(struct lvif_hv *hv, uint8_t protocol, uint16_t count, uint16_t *first);
int lvif_hv_port_release(struct lvif_hv *hv, uint8_t protocol, uint16_t first, uint16_t count);
/* server and control only */
int lvif_hv_portmap_map(struct lvif_hv *hv,
                        struct lvif_portmap const **portmap); /* read-only; the server's domain only */
int lvif_hv_port_set_limit(struct lvif_hv *hv, uint16_t domain, uint32_t ports);
int lvif_hv_port_reserve(struct lvif_hv *hv, uint8_t protocol, uint16_t first, uint16_t count, bool reserve);
struct lvif_port_info {
	uint32_t entry;             /* as in the table */
	uint32_t age_s;             /* since it got into this state */
	uint32_t quarantine_left_s; /* 0 when not quarantined */
	uint32_t owner_ports;       /* how many the owner has, of both protocols */
	uint32_t owner_limit;
	char owner_name[LVIF_HV_NAME_MAX + 1];
};
int lvif_hv_port_query(struct lvif_hv *hv, uint8_t protocol, uint16_t port, struct lvif_port_info *info);

/* How much hypervisord holds at the moment. Server and control only. */
struct lvif_hv_totals {
	uint64_t domains;     /* guests */
	uint64_t connections; /* of any role, this one included */
	uint64_t store_nodes;
	uint64_t watches;
	uint64_t queued_events; /* watch events not yet taken off hypervisord's hands */
	uint64_t regions;
	uint64_t mappings;
	uint64_t channels;
	uint64_t bound_channels;
	uint64_t owned_ports;
	uint64_t quarantined_ports;
	uint64_t refused_requests; /* answered with an error, since start */
	uint64_t broken_peers;     /* disconnected for breaking the protocol, since start */
};
int lvif_hv_statistics(struct lvif_hv *hv, struct lvif_hv_totals *statistics);

/* An lvif_environment over this connection. `quiesce` is left NULL for the caller to set. */
void lvif_hv_environment(struct lvif_hv *hv, struct lvif_environment *environment);

#ifdef __cplusplus
}
#endif

#endif
