/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * liblvif: the guest's side of a network device, for any kind of guest.
 *
 * Freestanding C11: needs memcpy and memset, nothing else; allocates nothing after lvif_open() but the pages of
 * a (re)connection, through the environment. No floating point, no SSE intrinsics. Works from interrupt
 * handlers where a comment says so.
 *
 * Threads. Each queue's tx side has one user at a time and each rx side one user at a time; tx and rx, and
 * different queues, may run side by side. lvif_open, lvif_poll and lvif_close belong to one control thread.
 * While lvif_poll() tears a connection down it needs the queues to itself: it calls `quiesce` of the environment,
 * which returns when no thread is inside a tx or rx call, and after which they see LVIF_ENOTCONN until
 * the device is connected again.
 *
 * Waiting is the caller's: it knows its select(), semaphore or interrupt. The library tells whether it may sleep
 * (lvif_rx_sleep, lvif_tx_wait) and which event port will wake it (lvif_queue_event).
 *
 * A server that crashes is waited for, for ever: the rings stay, tx fills up and then refuses frames, the next server goes on
 * with the same rings. Nothing latches off.
 */
#ifndef LIBRETTOS_FRONTEND_H
#define LIBRETTOS_FRONTEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <librettos/control_ring.h>
#include <librettos/frame_ring.h>
#include <librettos/handshake.h>
#include <librettos/vf_switch.h>

#ifdef __cplusplus
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow" /* lvif_offer and lvif_statistics are a struct and a function each */
extern "C" {
#endif

/* Errors: negative Linux numbers, spelled here so that no errno.h is needed. */
#define LVIF_EIO (-5)
#define LVIF_EAGAIN (-11)
#define LVIF_ENOMEM (-12)
#define LVIF_EBUSY (-16)
#define LVIF_EINVAL (-22)
#define LVIF_EMSGSIZE (-90)
#define LVIF_EOPNOTSUPP (-95)
#define LVIF_ENOTCONN (-107)
#define LVIF_EPROTO (-71)
#define LVIF_ENOENT (-2)

/* What the guest's world provides. All functions may block unless a comment says otherwise; `context` is passed
 * through. Functions that return int return 0 or more on success and a negative errno on failure. */
struct lvif_environment {
	void *context;
	uint16_t self; /* the guest's domain id */

	/* Page-aligned zeroed memory that can be shared; NULL when there is none. */
	void *(*pages_allocate)(void *context, size_t bytes);
	void (*pages_free)(void *context, void *pages, size_t bytes);

	/* Lets `domain` map the pages read-write; *region names them to it. */
	int (*share)(void *context, void *pages, size_t bytes, uint16_t domain, uint32_t *region);
	/* LVIF_EBUSY: the other side still has them mapped; the pages must not be freed or used again. */
	int (*unshare)(void *context, uint32_t region);

	int (*event_allocate)(void *context, uint16_t domain, uint32_t *port);
	void (*event_free)(void *context, uint32_t port);
	/* Never blocks. Any thread, any handler. */
	void (*event_notify)(void *context, uint32_t port);

	/* Copies the value with a NUL; its length, LVIF_ENOENT, or LVIF_EMSGSIZE when it does not fit. */
	int (*store_read)(void *context, char const *path, char *value, size_t size);
	int (*store_write)(void *context, char const *path, char const *value);
	/* From now on a change at or below `path` makes the caller run lvif_poll() soon (level, not edge). */
	int (*store_watch)(void *context, char const *path);
	void (*store_unwatch)(void *context, char const *path);

	uint64_t (*now_us)(void *context); /* monotonic */
	void (*yield)(void *context);

	/* Returns when no thread is inside a tx or rx call of this device. NULL: the caller has one thread only. */
	void (*quiesce)(void *context);

	/* NULL: the guest cannot use a VF. Called with `context`. */
	struct lvif_vf_operations const *vf;
};

enum lvif_mode { LVIF_MODE_SHARED = 0, LVIF_MODE_DEDICATED = 1 };

/* What the server offers, checked and in host form. Addresses are in network byte order. */
struct lvif_offer {
	enum lvif_mode mode;
	uint8_t mac[6];
	uint8_t ipv4[4]; /* all zero: none */
	uint8_t ipv4_prefix;
	uint8_t gateway4[4]; /* all zero: none */
	uint8_t ipv6[16];
	uint8_t ipv6_prefix;
	uint8_t gateway6[16];
	uint16_t mtu;  /* bytes of an IP packet */
	uint16_t vlan; /* 0: untagged */
	uint16_t max_queues;
	uint32_t max_ring_bytes;
	uint32_t features; /* LVIF_F_* */
	bool port_authority_is_server;
	uint32_t attach_serial; /* 0: none */
};

enum lvif_phase {
	LVIF_PHASE_WAITING,    /* for a server to make an offer */
	LVIF_PHASE_OFFERED,    /* lvif_offer() is valid; the next lvif_poll() connects */
	LVIF_PHASE_CONNECTING, /* rings shared, waiting for the server to map them */
	LVIF_PHASE_CONNECTED,
	LVIF_PHASE_DETACHED, /* by the server, lvif_detach_reason(); goes to WAITING by itself after a back-off of 0.1 .. 10 s, or when an operator attaches it */
	LVIF_PHASE_CLOSED,   /* lvif_close() was called */
};

struct lvif_options {
	uint16_t device;     /* number of the device, usually 0 */
	uint16_t queues;     /* wanted; the offer bounds it; 0: 1 */
	uint32_t ring_bytes; /* wanted; the offer bounds it; 0: LVIF_RING_DEFAULT_CAPACITY */
	uint32_t features;   /* wanted LVIF_F_*; used: what the offer has of them */
	enum lvif_mode mode; /* request-mode */
	bool never_shared;   /* an offer of the shared address is not taken: OFFERED until there is another */
	char program[40];    /* for LVIF_MSG_HELLO */
};

/* Offload of one frame; all zero for an ordinary one. */
struct lvif_offload {
	uint16_t flags; /* LVIF_CSUM_PARTIAL, LVIF_CSUM_OK, LVIF_GSO_TCP4, LVIF_GSO_TCP6 */
	uint16_t csum_start;
	uint16_t csum_offset;
	uint16_t gso_size;
	uint16_t header_length;
};

struct lvif_frame {
	uint8_t const
	        *bytes; /* in the ring: valid until lvif_rx_release(); the server does not write it again before */
	uint32_t length;
	struct lvif_offload offload; /* private, checked copy */
};

struct lvif_statistics {
	uint64_t tx_frames, tx_bytes, tx_full; /* tx_full: refused for want of space */
	uint64_t rx_frames, rx_bytes;
	uint64_t rx_broken; /* in rx, tx or control: the server broke the ring's rules (or memory was overwritten) */
	uint64_t notifications; /* sent */
	uint64_t connections;   /* since lvif_open */
	uint64_t messages;      /* received over the control ring */
};

struct lvif_device; /* size: lvif_device_bytes(); the caller provides the memory, so that nothing here allocates */

size_t lvif_device_bytes(void);

/* Prepares `memory` (lvif_device_bytes(), 64-byte aligned, any content) and writes the request to the store. What a
 * failed lvif_open leaves in the store is overwritten by the next. Then
 * call lvif_poll() once, and again whenever a store watch or the control event fires and when its time comes.
 * Errors: LVIF_EINVAL for impossible options, LVIF_EIO and others from the store. */
int lvif_open(struct lvif_device *memory, struct lvif_environment const *environment,
              struct lvif_options const *options);

/* Goes on with the state machine as far as it can without waiting, and handles control messages. Returns the phase.
 * *next_us: when to call again at the latest (now_us clock), UINT64_MAX for never. */
enum lvif_phase lvif_poll(struct lvif_device *device, uint64_t *next_us);

/* Leaves in order: Closing, waits (bounded, 2 s, with yield) until the server let go, frees what may be freed. */
void lvif_close(struct lvif_device *device);

struct lvif_offer const *lvif_offer(struct lvif_device const *device); /* NULL before OFFERED */
uint16_t lvif_server_domain(struct lvif_device const *device);         /* whose offer that is */
/* Why the server detached us; while WAITING: what is wrong with its offer, or why it makes none; else "". */
char const *lvif_detach_reason(struct lvif_device const *device);
bool lvif_link_up(struct lvif_device const *device);
uint16_t lvif_mtu(struct lvif_device const *device);      /* changes while connected */
uint32_t lvif_features(struct lvif_device const *device); /* in use */
uint16_t lvif_queues(struct lvif_device const *device);   /* 0 while not connected */
bool lvif_server_alive(struct lvif_device const *device); /* its life sign; false: crashed, being waited for */
/* Ports of the present connection: ask again after each change to CONNECTING. */
uint32_t lvif_control_event(struct lvif_device const *device);
uint32_t lvif_queue_event(struct lvif_device const *device, uint16_t queue);
void lvif_statistics(struct lvif_device const *device, struct lvif_statistics *sum);

/* ---- ports, where the server is the portmap's authority (lvif_offer()->port_authority_is_server). Control thread. Elsewhere
 * the guest asks the hypervisor, which is not this library's business. ---- */

#define LVIF_PORT_REQUESTS 8u /* that may wait for their answers at the same time */

struct lvif_port_answer {
	uint32_t ticket;
	int status; /* as librettos/portmap.h says; LVIF_ENOTCONN: the connection ended first, it may have been granted or not */
	uint16_t port;  /* granted; of a lease: the first */
	uint16_t count; /* granted */
};

/* operation: LVIF_MSG_PORT_BIND, _LEASE or _RELEASE, with its arguments as in control_ring.h. Sent at once; the answer is there
 * when lvif_poll() has seen it, which may take as long as the server is away. LVIF_EAGAIN: the ring is full or as many requests
 * wait as may; LVIF_ENOTCONN; LVIF_EINVAL: no such operation. */
int lvif_port_request(struct lvif_device *device, enum lvif_message_type operation, uint8_t protocol, uint16_t port,
                      uint16_t count, uint32_t *ticket);
/* 1: *answer is one that was not taken before, its ticket has served; 0: none. */
int lvif_port_take_answer(struct lvif_device *device, struct lvif_port_answer *answer);

/* ---- the switch (librettos/vf_switch.h). Control thread. ---- */

enum lvif_path lvif_path(struct lvif_device const *device);
/* The VF, or its link, is gone: back to the rings, which the server is told. Calls the environment's end() and close(). */
void lvif_vf_lost(struct lvif_device *device);
/* Whether the server has taken all that was published. The queue's tx user, or anyone while it has none. */
bool lvif_tx_idle(struct lvif_device *device, uint16_t queue);
/* Whether all that came for the guest before its VF received is in the rx ring, to be delivered first; the event tells
 * of a change. The switch is the last one that the guest was asked to prepare for. The queue's rx user. */
bool lvif_rx_marked(struct lvif_device const *device, uint16_t queue);

/* ---- sending: one user per queue at a time; none of these blocks, all may run under a spin lock ---- */

/* Room for one frame of up to `length` bytes, to be filled in place. LVIF_EAGAIN: full. LVIF_EMSGSIZE: longer than
 * lvif_tx_max(). LVIF_EINVAL: shorter than LVIF_MIN_FRAME_BYTES. LVIF_ENOTCONN. LVIF_EPROTO: the ring is broken, as
 * in lvif_rx_peek. */
int lvif_tx_reserve(struct lvif_device *device, uint16_t queue, uint32_t length, uint8_t **frame);
/* Ends the frame begun by lvif_tx_reserve, with length <= the reserved one. Not yet visible to the server. A frame that
 * is longer or too short, or whose offload was not agreed (lvif_features) or does not fit its length, is dropped:
 * LVIF_EINVAL. So is one whose connection has ended: LVIF_ENOTCONN. */
int lvif_tx_commit(struct lvif_device *device, uint16_t queue, uint32_t length, struct lvif_offload const *offload);
/* reserve, copy, commit; LVIF_EINVAL where commit would drop. */
int lvif_tx_frame(struct lvif_device *device, uint16_t queue, void const *frame, uint32_t length,
                  struct lvif_offload const *offload);
/* Makes all committed frames visible and notifies the server if it sleeps: once per burst. */
void lvif_tx_publish(struct lvif_device *device, uint16_t queue);
/* Publishes, then asks for a notification when there is room for `length` bytes. true: there is room already, or
 * lvif_tx_reserve has something else to say: do not sleep. */
bool lvif_tx_wait(struct lvif_device *device, uint16_t queue, uint32_t length);
uint32_t lvif_tx_max(struct lvif_device const *device, uint16_t queue);

/* ---- receiving: one user per queue at a time; none of these blocks ---- */

/* The next frame, in place. 1: there is one; 0: none; LVIF_ENOTCONN; LVIF_EPROTO: the ring is broken (counted; the
 * control thread reconnects at the next lvif_poll). */
int lvif_rx_peek(struct lvif_device *device, uint16_t queue, struct lvif_frame *frame);
/* Gives the space of the peeked frame back, privately. */
void lvif_rx_release(struct lvif_device *device, uint16_t queue);
/* Makes all released space visible to the server and notifies it if it waits for space: once per burst. */
void lvif_rx_publish(struct lvif_device *device, uint16_t queue);
/* Publishes, then arms the event. true: nothing to read, may sleep until the event; false: there are frames, or an
 * error that lvif_rx_peek tells. */
bool lvif_rx_sleep(struct lvif_device *device, uint16_t queue);
/* Takes the arming back after waking up. */
void lvif_rx_wake(struct lvif_device *device, uint16_t queue);

#ifdef __cplusplus
}
#pragma GCC diagnostic pop
#endif

#endif
