/* SPDX-License-Identifier: BSD-2-Clause */
/* Port operations over the control ring. */
#include "device.h"

#define HELLO_ID 1u /* messages.c */

static struct lvif_port_request *find(struct lvif_device *device, uint32_t ticket)
{
	for (unsigned i = 0; i < LVIF_PORT_REQUESTS; i++) {
		if (device->port_request[i].ticket == ticket)
			return &device->port_request[i];
	}
	return NULL;
}

static uint32_t new_ticket(struct lvif_device *device)
{
	do
		device->last_ticket++;
	while (device->last_ticket <= HELLO_ID || find(device, device->last_ticket) != NULL);
	return device->last_ticket;
}

int lvif_port_request(struct lvif_device *device, enum lvif_message_type operation, uint8_t protocol, uint16_t port,
                      uint16_t count, uint32_t *ticket)
{
	struct lvif_message message = {.type = (uint16_t)operation, .flags = LVIF_MSG_WANTS_REPLY};
	struct lvif_port_request *const request = find(device, 0);
	int result;

	if (operation != LVIF_MSG_PORT_BIND && operation != LVIF_MSG_PORT_LEASE && operation != LVIF_MSG_PORT_RELEASE)
		return LVIF_EINVAL;
	if (device->phase != LVIF_PHASE_CONNECTED)
		return LVIF_ENOTCONN;
	if (request == NULL)
		return LVIF_EAGAIN;
	message.id = new_ticket(device);
	message.u.port.protocol = protocol;
	message.u.port.port = port;
	message.u.port.count = count;
	result = lvif_message_send(device, &message);
	if (result != 0)
		return result == LVIF_EPROTO ? LVIF_ENOTCONN : result;
	request->ticket = message.id;
	request->answered = false;
	*ticket = message.id;
	return 0;
}

int lvif_port_take_answer(struct lvif_device *device, struct lvif_port_answer *answer)
{
	for (unsigned i = 0; i < LVIF_PORT_REQUESTS; i++) {
		struct lvif_port_request *const request = &device->port_request[i];

		if (request->ticket != 0 && request->answered) {
			*answer = request->answer;
			request->ticket = 0;
			return 1;
		}
	}
	return 0;
}

/* A reply that answers nothing is ignored: a second server may answer what a first one, killed since, had answered. */
void lvif_ports_answer(struct lvif_device *device, struct lvif_message const *reply)
{
	struct lvif_port_request *const request = reply->id > HELLO_ID ? find(device, reply->id) : NULL;

	if (request == NULL || request->answered)
		return;
	request->answered = true;
	request->answer.ticket = reply->id;
	request->answer.status = reply->status <= 0 ? reply->status : LVIF_EIO;
	request->answer.port = reply->u.port.port;
	request->answer.count = reply->u.port.count;
}

void lvif_ports_abandon(struct lvif_device *device)
{
	for (unsigned i = 0; i < LVIF_PORT_REQUESTS; i++) {
		struct lvif_port_request *const request = &device->port_request[i];

		if (request->ticket == 0 || request->answered)
			continue;
		request->answered = true;
		request->answer.ticket = request->ticket;
		request->answer.status = LVIF_ENOTCONN;
		request->answer.port = 0;
		request->answer.count = 0;
	}
}
