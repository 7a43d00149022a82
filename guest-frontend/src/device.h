/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The device: what lvif_open() makes of the caller's memory. Internal to liblvif.
 *
 * Written by the control thread alone, but for the queues, whose tx and rx halves belong to their users while
 * `live_queues` covers them.
 */
#ifndef LVIF_DEVICE_H
#define LVIF_DEVICE_H

#include <librettos/frontend.h>

#include "control.h"
#include "quarantine.h"
#include "ring.h"
#include "store.h"

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(hidden)

#define LVIF_MAX_REGIONS (2u + 2u * LVIF_MAX_QUEUES)
#define LVIF_REASON_BYTES 48u

struct lvif_queue {
	_Alignas(LVIF_CACHE_LINE) struct lvif_producer tx;
	uint64_t tx_notifications; /* atomic, writer: user of tx */
	_Alignas(LVIF_CACHE_LINE) struct lvif_consumer rx;
	uint64_t rx_notifications; /* atomic, writer: user of rx */
	_Alignas(LVIF_CACHE_LINE) uint32_t event;
};

/* What one connection holds of the environment. */
struct lvif_connection {
	uint16_t queues;
	uint32_t capacity;
	uint32_t features;
	uint16_t regions;
	struct lvif_region region[LVIF_MAX_REGIONS]; /* control to server, to guest; then tx, rx of each queue */
	uint16_t events;
	uint32_t event[1u + LVIF_MAX_QUEUES]; /* control; then of each queue */
	struct lvif_control control;
};

struct lvif_port_request {
	uint32_t ticket; /* 0: free */
	bool answered;
	struct lvif_port_answer answer;
};

struct lvif_device {
	struct lvif_environment environment;
	struct lvif_options options;
	char frontend[LVIF_PATH_BYTES];
	char backend[LVIF_PATH_BYTES]; /* "": none known; else it is watched */
	uint16_t server;

	enum lvif_phase phase;
	enum lvif_state state; /* ours, as it shall be in the store */
	bool state_written;
	struct lvif_offer offer;
	char reason[LVIF_REASON_BYTES];         /* of the detach; while WAITING: what is wrong with the offer */
	char message_reason[LVIF_REASON_BYTES]; /* from LVIF_MSG_DETACHED */

	uint64_t wake_us;       /* when this poll wants the next one */
	uint64_t not_before_us; /* no new attempt before */
	uint64_t give_up_us;    /* DETACHED: no longer wait for the server's Closed */
	uint64_t connected_us;
	uint32_t back_off_us;
	uint64_t connections;
	uint64_t control_notifications;
	uint64_t control_messages;
	uint64_t control_breaks;

	bool hello_due;
	bool server_was_alive;
	bool control_broken;
	bool link_up;
	uint16_t mtu;

	enum lvif_path path;
	struct lvif_message vf_request; /* of the server, not yet answered; type 0: none */
	uint32_t vf_serial;             /* of the last one; atomic, read by the users of rx */
	bool vf_opening;                /* open() was called, close() not yet */
	bool vf_beginning;              /* begin() was called, end() not yet */
	bool vf_lost_due;

	uint32_t last_ticket;
	struct lvif_port_request port_request[LVIF_PORT_REQUESTS];

	struct lvif_connection connection;
	struct lvif_quarantine quarantine;

	uint16_t live_queues; /* LIVE: release by the control thread, acquire by the queues' users */
	struct lvif_queue queues[LVIF_MAX_QUEUES];
};

static inline bool lvif_queue_live(struct lvif_device const *device, uint16_t queue)
{
	return queue < __atomic_load_n(&device->live_queues, __ATOMIC_ACQUIRE); /* LIVE */
}

static inline void lvif_queue_notify(struct lvif_device *device, struct lvif_queue *queue, uint64_t *counter)
{
	lvif_count(counter, 1);
	device->environment.event_notify(device->environment.context, queue->event);
}

/* connection.c: allocates, shares and writes everything to the store; or nothing, and a negative errno. */
int lvif_connection_build(struct lvif_device *device);
/* Opens the queues to their users. */
void lvif_connection_go_live(struct lvif_device *device);
/* Takes the queues from their users, gives everything back, quarantines what the server still holds. */
void lvif_connection_release(struct lvif_device *device);
void lvif_connection_take_queues(struct lvif_device *device);
bool lvif_connection_broken(struct lvif_device const *device);

/* messages.c: takes what the server wrote, sends a HELLO that is due, arms the control event. */
void lvif_messages_handle(struct lvif_device *device);
/* 0: it is in the ring. LVIF_EAGAIN, LVIF_EPROTO. */
int lvif_message_send(struct lvif_device *device, struct lvif_message const *message);

/* ports.c: what a reply answers; the end of a connection answers all. */
void lvif_ports_answer(struct lvif_device *device, struct lvif_message const *reply);
void lvif_ports_abandon(struct lvif_device *device);

/* vf_switch.c: a SWITCH_ message; what it asks for is done by lvif_switch_step() */
void lvif_switch_request(struct lvif_device *device, struct lvif_message const *request);
void lvif_switch_step(struct lvif_device *device, uint64_t now_us);
/* Back to the rings without a word: the connection ends. */
void lvif_switch_abandon(struct lvif_device *device);

/* lifecycle.c: the device's own state in the store. false: not written yet, will be tried again. */
bool lvif_state_set(struct lvif_device *device, enum lvif_state state);
bool lvif_state_flush(struct lvif_device *device);
/* The server's state; LVIF_STATE_UNKNOWN for garbage; LVIF_ENOENT: no backend; other errors of the store. */
int lvif_backend_state(struct lvif_device *device);
/* Reads and checks "backend" and "backend-id", watches the directory they name. LVIF_ENOENT: none yet;
 * LVIF_EINVAL: they name no directory of ours. */
int lvif_backend_find(struct lvif_device *device);
void lvif_backend_forget(struct lvif_device *device);
/* Whether "backend" now names another directory than the one in use. */
bool lvif_backend_moved(struct lvif_device *device);

static inline void lvif_wake_at(struct lvif_device *device, uint64_t time_us)
{
	if (time_us < device->wake_us)
		device->wake_us = time_us;
}

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif
