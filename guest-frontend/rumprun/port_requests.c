/* SPDX-License-Identifier: BSD-2-Clause */
#include "minios.h"

#include "port_requests.h"

#define RETRY_US 20000u

static struct lvif_waiting_request *take(struct lvif_port_requests *requests, uint64_t deadline_us)
{
	struct lvif_sleeper pause = {false, NULL};

	for (;;) {
		for (unsigned i = 0; i < LVIF_PORT_REQUESTS_WAITING; i++) {
			if (requests->request[i].state == LVIF_REQUEST_FREE)
				return &requests->request[i];
		}
		if (lvif_minios_now_us() >= deadline_us)
			return NULL;
		lvif_sleeper_sleep(&pause, lvif_minios_now_us() + RETRY_US);
	}
}

int lvif_port_requests_ask(struct lvif_port_requests *requests, struct lvif_sleeper *control,
                           enum lvif_message_type operation, uint8_t protocol, uint16_t *port, uint16_t count,
                           uint64_t deadline_us)
{
	struct lvif_waiting_request *const request = take(requests, deadline_us);

	if (request == NULL)
		return LVIF_EAGAIN;
	*request = (struct lvif_waiting_request){
	        .state = LVIF_REQUEST_NEW, .operation = operation, .protocol = protocol, .port = *port, .count = count};
	lvif_sleeper_wake(control);
	while (request->state != LVIF_REQUEST_ANSWERED && lvif_minios_now_us() < deadline_us)
		lvif_sleeper_sleep(&request->asker, deadline_us);
	if (request->state == LVIF_REQUEST_ANSWERED) {
		*port = request->port;
		request->state = LVIF_REQUEST_FREE;
		return request->status;
	}
	if (request->state == LVIF_REQUEST_NEW)
		request->state = LVIF_REQUEST_FREE;
	else
		request->abandoned = true;
	return LVIF_EAGAIN;
}

static struct lvif_waiting_request *with_ticket(struct lvif_port_requests *requests, uint32_t ticket)
{
	for (unsigned i = 0; i < LVIF_PORT_REQUESTS_WAITING; i++) {
		if (requests->request[i].state == LVIF_REQUEST_SENT && requests->request[i].ticket == ticket)
			return &requests->request[i];
	}
	return NULL;
}

static void answer_abandoned(struct lvif_waiting_request *request, struct lvif_port_answer const *answer)
{
	bool const granted = answer->status == 0 && request->operation != LVIF_MSG_PORT_RELEASE;

	request->state = granted ? LVIF_REQUEST_NEW : LVIF_REQUEST_FREE;
	request->count = request->operation == LVIF_MSG_PORT_LEASE ? request->count : 1;
	request->operation = LVIF_MSG_PORT_RELEASE;
	request->port = answer->port;
}

static void take_answers(struct lvif_port_requests *requests, struct lvif_device *device)
{
	struct lvif_port_answer answer;

	while (lvif_port_take_answer(device, &answer) == 1) {
		struct lvif_waiting_request *const request = with_ticket(requests, answer.ticket);

		if (request == NULL)
			continue;
		if (answer.status == LVIF_ENOTCONN) {
			request->state = LVIF_REQUEST_NEW; /* of the next connection; asking twice does no harm */
		} else if (request->abandoned) {
			answer_abandoned(request, &answer);
		} else {
			request->status = answer.status;
			request->port = answer.status == 0 ? answer.port : request->port;
			request->state = LVIF_REQUEST_ANSWERED;
			lvif_sleeper_wake(&request->asker);
		}
	}
}

void lvif_port_requests_pump(struct lvif_port_requests *requests, struct lvif_device *device)
{
	take_answers(requests, device);
	for (unsigned i = 0; i < LVIF_PORT_REQUESTS_WAITING; i++) {
		struct lvif_waiting_request *const request = &requests->request[i];

		if (request->state == LVIF_REQUEST_NEW &&
		    lvif_port_request(device, request->operation, request->protocol, request->port, request->count,
		                      &request->ticket) == 0)
			request->state = LVIF_REQUEST_SENT;
	}
}
