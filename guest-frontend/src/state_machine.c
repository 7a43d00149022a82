/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest's side of the handshake (handshake.h).
 *
 * Theory of operation. lvif_poll() takes steps until one says that it has to wait. A step looks at the server's state, never
 * at how it came about, so that a missed or repeated watch event changes nothing. Our own state is written first; while the store
 * refuses it, nothing else goes on. Every wait has a watch behind it or a time in `wake_us`.
 *
 *   WAITING  --offer-->  OFFERED  --rings shared-->  CONNECTING  --server Connected-->  CONNECTED
 *      ^                    |  (offer gone, no memory)     |                              |
 *      +--------------------+                              +----------- detach -----------+
 *      +--------- back-off over, or attached anew ---- DETACHED <-------------------------+
 *
 * A server that dies shows in none of this: its directory stays as it is.
 */
#include "device.h"
#include "offer.h"

#define STORE_RETRY_US 100000u
#define QUARANTINE_RETRY_US 100000u
#define FIRST_BACK_OFF_US 100000u
#define LAST_BACK_OFF_US 10000000u
#define SERVER_CLOSED_WAIT_US 10000000u
#define STEPS_PER_POLL 8

static void back_off(struct lvif_device *device, uint64_t now_us)
{
	if (device->back_off_us == 0)
		device->back_off_us = FIRST_BACK_OFF_US;
	device->not_before_us = now_us + device->back_off_us;
	device->back_off_us = device->back_off_us < LAST_BACK_OFF_US / 2 ? 2 * device->back_off_us : LAST_BACK_OFF_US;
}

/* An operator wants the guest back: that ends a back-off, which is there for servers and stores that come and go by themselves. */
static bool attached_anew(struct lvif_device *device)
{
	uint32_t serial;

	if (device->backend[0] == '\0' ||
	    lvif_store_read_number(&device->environment, device->backend, LVIF_KEY_ATTACH_SERIAL, UINT32_MAX,
	                           &serial) != 0 ||
	    serial == device->offer.attach_serial)
		return false;
	device->offer.attach_serial = serial;
	device->back_off_us = 0;
	device->not_before_us = 0;
	return true;
}

/* Whether it is too early for another attempt; then the next poll is arranged for. */
static bool backing_off(struct lvif_device *device, uint64_t now_us)
{
	if (now_us >= device->not_before_us || attached_anew(device))
		return false;
	lvif_wake_at(device, device->not_before_us);
	return true;
}

static void detach(struct lvif_device *device, uint64_t now_us, enum lvif_state state, char const *reason)
{
	if (device->phase == LVIF_PHASE_CONNECTED && now_us - device->connected_us >= LAST_BACK_OFF_US)
		device->back_off_us = 0;
	lvif_text_copy_printable(device->reason, sizeof(device->reason), reason, LVIF_REASON_BYTES);
	lvif_connection_release(device);
	back_off(device, now_us);
	device->give_up_us = device->not_before_us + SERVER_CLOSED_WAIT_US;
	device->phase = LVIF_PHASE_DETACHED;
	(void)lvif_state_set(device, state);
}

/* "" when there is none. */
static bool read_detach_reason(struct lvif_device *device, char reason[LVIF_REASON_BYTES])
{
	char text[LVIF_REASON_BYTES];
	bool const found =
	        lvif_store_read(&device->environment, device->backend, LVIF_KEY_DETACH_REASON, text, sizeof(text)) == 0;

	lvif_text_copy_printable(reason, LVIF_REASON_BYTES, found ? text : "", LVIF_REASON_BYTES);
	return found;
}

static void detach_by_server(struct lvif_device *device, uint64_t now_us)
{
	char reason[LVIF_REASON_BYTES];

	if (read_detach_reason(device, reason))
		detach(device, now_us, LVIF_STATE_CLOSED, reason);
	else if (device->phase == LVIF_PHASE_CONNECTED && device->message_reason[0] != '\0')
		detach(device, now_us, LVIF_STATE_CLOSED, device->message_reason);
	else
		detach(device, now_us, LVIF_STATE_CLOSED, "the server gave no reason");
}

/* Steps return whether the next one may follow at once. */

static bool step_waiting(struct lvif_device *device, uint64_t now_us)
{
	struct lvif_offer offer;
	char const *wrong = "";
	int result;

	if (backing_off(device, now_us))
		return false;
	device->reason[0] = '\0';
	result = lvif_backend_find(device);
	if (result == 0)
		result = lvif_backend_state(device);
	if (result == LVIF_STATE_CLOSED) /* it may have refused us */
		(void)read_detach_reason(device, device->reason);
	if (result >= 0 && result != LVIF_STATE_INIT_WAIT)
		return false;
	if (result == LVIF_STATE_INIT_WAIT)
		result = lvif_offer_read(&device->environment, device->backend, &offer, &wrong);
	if (result == LVIF_EINVAL) {
		struct lvif_text text = lvif_text_begin(device->reason, sizeof(device->reason));
		lvif_text_append(&text, "unusable offer: ");
		lvif_text_append(&text, *wrong != '\0' ? wrong : LVIF_KEY_BACKEND);
		return false;
	}
	if (result != 0) {
		if (result != LVIF_ENOENT)
			lvif_wake_at(device, now_us + STORE_RETRY_US);
		return false;
	}
	device->offer = offer;
	device->phase = LVIF_PHASE_OFFERED;
	lvif_wake_at(device, now_us);
	return false; /* the caller may look at the offer first */
}

static bool same_offer(struct lvif_offer const *left, struct lvif_offer const *right)
{
	/* Both were zeroed before they were filled. */
	return __builtin_memcmp(left, right, sizeof(*left)) == 0;
}

static bool step_offered(struct lvif_device *device, uint64_t now_us)
{
	struct lvif_offer offer;
	char const *wrong;
	int result = lvif_backend_moved(device) ? LVIF_ENOENT : lvif_backend_state(device);

	if (result == LVIF_STATE_INIT_WAIT)
		result = lvif_offer_read(&device->environment, device->backend, &offer, &wrong);
	else if (result >= 0)
		result = LVIF_ENOENT;
	if (result == LVIF_ENOENT || result == LVIF_EINVAL) {
		device->phase = LVIF_PHASE_WAITING;
		return true;
	}
	if (result != 0) {
		lvif_wake_at(device, now_us + STORE_RETRY_US);
		return false;
	}
	if (!same_offer(&offer, &device->offer)) {
		device->offer = offer;
		lvif_wake_at(device, now_us);
		return false;
	}
	if (offer.mode == LVIF_MODE_SHARED && device->options.never_shared)
		return false;
	if (lvif_connection_build(device) != 0) {
		back_off(device, now_us);
		device->phase = LVIF_PHASE_WAITING;
		return true;
	}
	device->phase = LVIF_PHASE_CONNECTING;
	return lvif_state_set(device, LVIF_STATE_INITIALISED);
}

static bool step_connecting(struct lvif_device *device, uint64_t now_us)
{
	int const server = lvif_backend_moved(device) ? LVIF_ENOENT : lvif_backend_state(device);

	switch (server) {
	case LVIF_STATE_CONNECTED:
		device->phase = LVIF_PHASE_CONNECTED;
		device->connected_us = now_us;
		lvif_count(&device->connections, 1);
		lvif_connection_go_live(device);
		(void)lvif_state_set(device, LVIF_STATE_CONNECTED);
		return true;
	case LVIF_STATE_CLOSING:
	case LVIF_STATE_CLOSED:
		detach_by_server(device, now_us);
		return true;
	case LVIF_ENOENT:
		detach(device, now_us, LVIF_STATE_CLOSED, "the backend directory is gone");
		return true;
	default:
		if (server < 0)
			lvif_wake_at(device, now_us + STORE_RETRY_US);
		return false;
	}
}

static bool step_connected(struct lvif_device *device, uint64_t now_us)
{
	int const server = lvif_backend_moved(device) ? LVIF_ENOENT : lvif_backend_state(device);

	lvif_messages_handle(device);
	lvif_switch_step(device, now_us);
	switch (server) {
	case LVIF_STATE_CLOSING:
	case LVIF_STATE_CLOSED:
		detach_by_server(device, now_us);
		return true;
	case LVIF_ENOENT:
		detach(device, now_us, LVIF_STATE_CLOSED, "the backend directory is gone");
		return true;
	case LVIF_STATE_INITIALISING:
	case LVIF_STATE_INIT_WAIT:
	case LVIF_STATE_INITIALISED:
		detach(device, now_us, LVIF_STATE_CLOSED, "the server started over");
		return true;
	default:
		break; /* Connected; or a garbled state or an error of the store, which do not stop frames */
	}
	if (server < 0)
		lvif_wake_at(device, now_us + STORE_RETRY_US);
	if (lvif_connection_broken(device)) {
		detach(device, now_us, LVIF_STATE_CLOSING, "the server broke a ring");
		return true;
	}
	return false;
}

static bool step_detached(struct lvif_device *device, uint64_t now_us)
{
	int server;

	if (backing_off(device, now_us))
		return false;
	server = lvif_backend_moved(device) ? LVIF_ENOENT : lvif_backend_state(device);
	if (server < 0 && server != LVIF_ENOENT) {
		lvif_wake_at(device, now_us + STORE_RETRY_US);
		return false;
	}
	if ((server == LVIF_STATE_CLOSING || server == LVIF_STATE_CONNECTED) && now_us < device->give_up_us) {
		lvif_wake_at(device, device->give_up_us);
		return false;
	}
	device->phase = LVIF_PHASE_WAITING;
	return lvif_state_set(device, LVIF_STATE_INITIALISING);
}

static bool step(struct lvif_device *device, uint64_t now_us)
{
	if (!lvif_state_flush(device)) {
		lvif_wake_at(device, now_us + STORE_RETRY_US);
		return false;
	}
	switch (device->phase) {
	case LVIF_PHASE_WAITING:
		return step_waiting(device, now_us);
	case LVIF_PHASE_OFFERED:
		return step_offered(device, now_us);
	case LVIF_PHASE_CONNECTING:
		return step_connecting(device, now_us);
	case LVIF_PHASE_CONNECTED:
		return step_connected(device, now_us);
	case LVIF_PHASE_DETACHED:
		return step_detached(device, now_us);
	case LVIF_PHASE_CLOSED:
		break;
	}
	return false;
}

enum lvif_phase lvif_poll(struct lvif_device *device, uint64_t *next_us)
{
	uint64_t now_us;
	int steps = 0;

	device->wake_us = UINT64_MAX;
	if (device->phase != LVIF_PHASE_CLOSED) {
		now_us = device->environment.now_us(device->environment.context);
		lvif_quarantine_retry(&device->quarantine, &device->environment);
		while (steps < STEPS_PER_POLL && step(device, now_us))
			steps++;
		if (steps == STEPS_PER_POLL || !device->state_written)
			lvif_wake_at(device, now_us + STORE_RETRY_US);
		if (device->quarantine.count > 0)
			lvif_wake_at(device, now_us + QUARANTINE_RETRY_US);
	}
	*next_us = device->wake_us;
	return device->phase;
}
