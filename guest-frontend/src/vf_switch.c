/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest's side of the switch (librettos/vf_switch.h).
 *
 * `path` is what was reached, `vf_request` what the server wants reached. vf_opening and vf_beginning tell what close() and end()
 * have to undo, so that each way back is the same from everywhere.
 */
#include "device.h"

#define STEP_US 1000u

static void leave_direct(struct lvif_device *device)
{
	if (device->vf_beginning)
		device->environment.vf->end(device->environment.context);
	device->vf_beginning = false;
	if (device->path == LVIF_PATH_DIRECT)
		device->path = LVIF_PATH_PREPARED;
}

static void leave_vf(struct lvif_device *device)
{
	leave_direct(device);
	if (device->vf_opening)
		device->environment.vf->close(device->environment.context);
	device->vf_opening = false;
	device->path = LVIF_PATH_RINGS;
}

/* Steps return as the operations do: 1 reached, 0 not yet, or a negative errno. */

static int prepare(struct lvif_device *device)
{
	struct lvif_message const *const request = &device->vf_request;
	int result;

	if (device->path != LVIF_PATH_RINGS)
		return 1;
	if (__builtin_memcmp(request->u.vf.mac, device->offer.mac, sizeof(device->offer.mac)) != 0)
		return LVIF_EINVAL;
	device->vf_opening = true;
	result = device->environment.vf->open(device->environment.context, request->u.vf.mac, request->u.vf.vlan);
	if (result == 1)
		device->path = LVIF_PATH_PREPARED;
	else if (result < 0)
		leave_vf(device);
	return result;
}

static int commit(struct lvif_device *device)
{
	int result;

	if (device->path == LVIF_PATH_DIRECT)
		return 1;
	if (device->path != LVIF_PATH_PREPARED)
		return LVIF_EINVAL;
	device->vf_beginning = true;
	result = device->environment.vf->begin(device->environment.context);
	if (result == 1)
		device->path = LVIF_PATH_DIRECT;
	else if (result < 0)
		leave_direct(device);
	return result;
}

static int reach(struct lvif_device *device)
{
	switch (device->vf_request.type) {
	case LVIF_MSG_SWITCH_PREPARE:
		return prepare(device);
	case LVIF_MSG_SWITCH_COMMIT:
		return commit(device);
	case LVIF_MSG_SWITCH_BACK:
		leave_direct(device);
		return 1;
	default: /* LVIF_MSG_SWITCH_RELEASE */
		leave_vf(device);
		device->vf_lost_due = false;
		return 1;
	}
}

void lvif_switch_request(struct lvif_device *device, struct lvif_message const *request)
{
	device->vf_request = *request;
	__atomic_store_n(&device->vf_serial, request->u.vf.serial, __ATOMIC_RELAXED); /* before open() is called */
}

static bool answer(struct lvif_device *device, int status)
{
	struct lvif_message reply = {.type = LVIF_MSG_REPLY, .id = device->vf_request.id, .status = status};

	reply.u.vf.serial = device->vf_request.u.vf.serial;
	if (lvif_message_send(device, &reply) != 0)
		return false;
	device->vf_request.type = 0;
	return true;
}

static void say_lost(struct lvif_device *device)
{
	struct lvif_message message = {.type = LVIF_MSG_VF_LOST};

	message.u.vf.serial = device->vf_serial;
	if (lvif_message_send(device, &message) == 0)
		device->vf_lost_due = false;
}

void lvif_switch_step(struct lvif_device *device, uint64_t now_us)
{
	bool waits = false;

	if (device->vf_request.type != 0) {
		int const result = device->environment.vf != NULL ? reach(device) : LVIF_EOPNOTSUPP;

		/* A reply that finds no room is tried again: what was reached is reached at once then. */
		waits = result == 0 || !answer(device, result == 1 ? 0 : result);
	}
	if (device->vf_lost_due)
		say_lost(device);
	if (waits || device->vf_lost_due)
		lvif_wake_at(device, now_us + STEP_US);
}

void lvif_switch_abandon(struct lvif_device *device)
{
	if (device->environment.vf != NULL)
		leave_vf(device);
	device->vf_request.type = 0;
	device->vf_lost_due = false;
}

bool lvif_rx_marked(struct lvif_device const *device, uint16_t queue)
{
	uint32_t const serial = __atomic_load_n(&device->vf_serial, __ATOMIC_RELAXED);

	/* Acquires what the server had put into the ring. */
	return lvif_queue_live(device, queue) && serial != 0 &&
	       __atomic_load_n(&device->queues[queue].rx.ring->mark, __ATOMIC_ACQUIRE) == serial;
}

enum lvif_path lvif_path(struct lvif_device const *device)
{
	return device->path;
}

void lvif_vf_lost(struct lvif_device *device)
{
	if (!device->vf_opening)
		return;
	leave_vf(device);
	device->vf_lost_due = true;
}
