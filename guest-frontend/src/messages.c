/* SPDX-License-Identifier: BSD-2-Clause */
/* What guest and server tell each other over the control rings. */
#include "device.h"

static struct lvif_control_ring const *alive_ring(struct lvif_device const *device)
{
	return device->connection.control.to_server;
}

bool lvif_server_alive(struct lvif_device const *device)
{
	/* Writers: the server (1) and, when its mapping goes, the hypervisor (0). A sign, nothing is ordered by it. */
	return device->phase == LVIF_PHASE_CONNECTED &&
	       __atomic_load_n(&alive_ring(device)->server_alive, __ATOMIC_RELAXED) != 0;
}

int lvif_message_send(struct lvif_device *device, struct lvif_message const *message)
{
	int const result = lvif_control_send(&device->connection.control, message);

	if (result == 1) {
		device->environment.event_notify(device->environment.context, device->connection.event[0]);
		lvif_count(&device->control_notifications, 1);
	}
	if (result == LVIF_EPROTO)
		device->control_broken = true;
	return result < 0 ? result : 0;
}

static void say_hello(struct lvif_device *device)
{
	struct lvif_message message = {.type = LVIF_MSG_HELLO, .flags = LVIF_MSG_WANTS_REPLY, .id = 1};

	message.u.hello.version = LVIF_CONTROL_VERSION;
	if (device->environment.vf != NULL)
		message.u.hello.flags = LVIF_HELLO_CAN_SWITCH;
	if (device->path == LVIF_PATH_DIRECT)
		message.u.hello.flags |= LVIF_HELLO_DIRECT;
	lvif_text_copy_printable(message.u.hello.program, sizeof(message.u.hello.program), device->options.program,
	                         sizeof(device->options.program));
	if (lvif_message_send(device, &message) == 0)
		device->hello_due = false;
}

/* A reply that does not fit is dropped: a full ring is never waited for. */
static void refuse(struct lvif_device *device, struct lvif_message const *request)
{
	struct lvif_message const reply = {.type = LVIF_MSG_REPLY, .id = request->id, .status = LVIF_EOPNOTSUPP};

	(void)lvif_message_send(device, &reply);
}

static void handle(struct lvif_device *device, struct lvif_message const *message)
{
	switch (message->type) {
	case LVIF_MSG_LINK:
		device->link_up = message->u.link.up == 1;
		break;
	case LVIF_MSG_MTU:
		if (message->u.mtu.mtu_bytes >= LVIF_MIN_MTU && message->u.mtu.mtu_bytes <= LVIF_MAX_MTU)
			device->mtu = (uint16_t)message->u.mtu.mtu_bytes;
		break;
	case LVIF_MSG_DETACHED:
		lvif_text_copy_printable(device->message_reason, sizeof(device->message_reason),
		                         message->u.detached.reason, sizeof(message->u.detached.reason));
		break;
	case LVIF_MSG_REPLY:
		lvif_ports_answer(device, message);
		break;
	case LVIF_MSG_SWITCH_PREPARE:
	case LVIF_MSG_SWITCH_COMMIT:
	case LVIF_MSG_SWITCH_BACK:
	case LVIF_MSG_SWITCH_RELEASE:
		lvif_switch_request(device, message);
		break;
	default:
		if (message->flags & LVIF_MSG_WANTS_REPLY)
			refuse(device, message);
		break;
	}
}

void lvif_messages_handle(struct lvif_device *device)
{
	struct lvif_control *const control = &device->connection.control;
	bool const alive = lvif_server_alive(device);
	struct lvif_message message;
	int received = 0;

	if (alive && !device->server_was_alive)
		device->hello_due = true;
	device->server_was_alive = alive;

	lvif_control_wake(control);
	for (unsigned turn = 0; turn < LVIF_CONTROL_SLOTS; turn++) {
		received = lvif_control_receive(control, &message);
		if (received != 1)
			break;
		lvif_count(&device->control_messages, 1);
		handle(device, &message);
	}
	if (device->hello_due)
		say_hello(device);
	if (received == LVIF_EPROTO) {
		device->control_broken = true;
	} else {
		if (lvif_control_release(control)) {
			device->environment.event_notify(device->environment.context, device->connection.event[0]);
			lvif_count(&device->control_notifications, 1);
		}
		/* More than a ring full: the caller gets its turn, then comes back. */
		if (!lvif_control_sleep(control))
			lvif_wake_at(device, 0);
	}
	if (device->control_broken)
		lvif_count(&device->control_breaks, 1);
}
