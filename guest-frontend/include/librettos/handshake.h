/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The handshake: how a guest's device is attached to the server, in the store.
 *
 *   frontend   /local/domain/<guest>/device/lvif/<n>/
 *   backend    /local/domain/<server>/backend/lvif/<guest>/<n>/
 *
 * Values are text; numbers are decimal without sign, leading zero or blank. Each side reads the other's
 * directory as hostile input: strict parse, then bounds.
 *
 * The server finds its guests, never the reverse: it watches /local/domain, and for a domain that its
 * configuration takes it creates the backend directory and the two keys "backend" and "backend-id" of the
 * frontend directory. From there on both sides only look at the other's `state`:
 *
 *   guest                                        server
 *   (waits for "backend" to appear)              writes the offer, state = InitWait
 *   reads the offer; shares rings; allocates
 *   event ports; writes them; state = Initialised
 *                                                maps rings, binds ports; state = Connected
 *   state = Connected                            passes frames
 *
 *   leave:    guest state = Closing              lets the rings go; state = Closed
 *   detach:   server state = Closing, with       guest stops using rings, state = Closed; server state = Closed.
 *             "detach-reason"                    To come back the guest goes to Initialising and starts over, at
 *                                                once when "attach-serial" is another than with the last offer,
 *                                                else after a back-off that grows.
 *   server dies: nothing changes in the store. The next server finds backend directories with state = Connected,
 *             maps the same rings and goes on; no state changes, the guest has nothing to do. A backend directory
 *             in any earlier state is taken up where it stands.
 *   guest's domain dies: the server removes the backend directory.
 */
#ifndef LIBRETTOS_HANDSHAKE_H
#define LIBRETTOS_HANDSHAKE_H

#define LVIF_DEVICE_CLASS "lvif"

/* Device states: xen/include/public/io/xenbus.h, enum xenbus_state. */
enum lvif_state {
	LVIF_STATE_UNKNOWN = 0,
	LVIF_STATE_INITIALISING = 1,
	LVIF_STATE_INIT_WAIT = 2,
	LVIF_STATE_INITIALISED = 3,
	LVIF_STATE_CONNECTED = 4,
	LVIF_STATE_CLOSING = 5,
	LVIF_STATE_CLOSED = 6,
};

/* Both directories */
#define LVIF_KEY_STATE "state"

/* Backend directory: the offer. Writer server. */
#define LVIF_KEY_FRONTEND "frontend"             /* path of the frontend directory */
#define LVIF_KEY_FRONTEND_ID "frontend-id"       /* domain id of the guest */
#define LVIF_KEY_VERSION "version"               /* LVIF_HANDSHAKE_VERSION */
#define LVIF_KEY_MODE "mode"                     /* "shared" or "dedicated" */
#define LVIF_KEY_MAC "mac"                       /* aa:bb:cc:dd:ee:ff */
#define LVIF_KEY_IPV4 "ipv4"                     /* 192.0.2.2/24; absent without IPv4 */
#define LVIF_KEY_GATEWAY4 "gateway4"             /* 192.0.2.1; absent without */
#define LVIF_KEY_IPV6 "ipv6"                     /* 2001:db8::2/64; absent without IPv6 */
#define LVIF_KEY_GATEWAY6 "gateway6"             /* absent without */
#define LVIF_KEY_MTU "mtu"                       /* bytes of an IP packet, 1280 .. 9000 */
#define LVIF_KEY_VLAN "vlan"                     /* 1 .. 4094 where frames carry that tag; absent: untagged */
#define LVIF_KEY_FEATURES "features"             /* LVIF_F_* of frame_ring.h */
#define LVIF_KEY_MAX_QUEUES "max-queues"         /* queue pairs, 1 .. LVIF_MAX_QUEUES */
#define LVIF_KEY_MAX_RING_BYTES "max-ring-bytes" /* largest capacity accepted */
#define LVIF_KEY_PORT_AUTHORITY "port-authority" /* "hypervisor" or "server" (control ring) */
#define LVIF_KEY_DETACH_REASON "detach-reason"   /* with state Closing or Closed */
#define LVIF_KEY_ATTACH_SERIAL                                                                                         \
	"attach-serial" /* another number each time that an operator attaches the guest; may be absent */

/* Frontend directory. Writer server: */
#define LVIF_KEY_BACKEND "backend"       /* path of the backend directory */
#define LVIF_KEY_BACKEND_ID "backend-id" /* domain id of the server */
/* Writer guest, before it appears to the server (its wish; the server's configuration decides): */
#define LVIF_KEY_REQUEST_MODE "request-mode" /* "shared" (default) or "dedicated" */
/* Writer guest, before state = Initialised; region references are what `share` returned, event ports what
 * `event_allocate` returned (frontend.h): */
#define LVIF_KEY_QUEUES "queues"                       /* queue pairs, 1 .. max-queues */
#define LVIF_KEY_RING_BYTES "ring-bytes"               /* capacity of each frame ring */
#define LVIF_KEY_CONTROL_TO_SERVER "control-to-server" /* region of one control ring page */
#define LVIF_KEY_CONTROL_TO_GUEST "control-to-guest"
#define LVIF_KEY_CONTROL_EVENT "control-event"
/* per queue pair q: "queue-<q>/" and */
#define LVIF_KEY_TX_RING "tx-ring" /* region of a frame ring, header page and data */
#define LVIF_KEY_RX_RING "rx-ring"
#define LVIF_KEY_EVENT "event" /* one event channel for both rings of the pair */

#define LVIF_HANDSHAKE_VERSION 1u
#define LVIF_MAX_QUEUES 16u
#define LVIF_MIN_MTU 1280u
#define LVIF_MAX_MTU 9000u

#endif
