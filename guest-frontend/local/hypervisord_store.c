/* SPDX-License-Identifier: BSD-2-Clause */
/* Client of librettos-hypervisord: the store and its watches. */
#define _GNU_SOURCE
#include "hypervisord_connection.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

static int path_call(struct lvif_hv *hv, enum lvif_hvp_operation operation, char const *path)
{
	return lvif_hv_call(hv, &(struct lvif_hv_request){.operation = operation, .text = {path}, .send_fd = -1}, NULL);
}

int lvif_hv_read(struct lvif_hv *hv, char const *path, char *value, size_t size)
{
	struct lvif_hvp_message const *reply = &hv->message;
	int status;

	lvif_hv_begin(hv);
	status = lvif_hv_exchange(hv,
	                          &(struct lvif_hv_request){.operation = LVIF_HVP_READ, .text = {path}, .send_fd = -1});
	if (status == 0) {
		size_t length = strnlen(reply->payload, reply->header.length);

		if (length >= size) {
			status = -EMSGSIZE;
		} else {
			memcpy(value, reply->payload, length);
			value[length] = '\0';
			status = (int)length;
		}
	}
	lvif_hv_end(hv);
	return status;
}

int lvif_hv_write(struct lvif_hv *hv, char const *path, char const *value)
{
	return lvif_hv_call(
	        hv, &(struct lvif_hv_request){.operation = LVIF_HVP_WRITE, .text = {path, value}, .send_fd = -1}, NULL);
}

int lvif_hv_remove(struct lvif_hv *hv, char const *path)
{
	return path_call(hv, LVIF_HVP_REMOVE, path);
}

int lvif_hv_permit(struct lvif_hv *hv, char const *path, uint16_t owner, uint16_t reader)
{
	return lvif_hv_call(
	        hv,
	        &(struct lvif_hv_request){
	                .operation = LVIF_HVP_PERMIT, .argument = {owner, reader}, .text = {path}, .send_fd = -1},
	        NULL);
}

/* One page of names, appended at *used as far as they fit; the last name stays in `after`. Returns their number. */
static int list_page(struct lvif_hv *hv, char const *path, char *after, char *names, size_t size, size_t *used,
                     bool *more)
{
	struct lvif_hvp_message const *reply = &hv->message;
	int count = 0;
	int status = lvif_hv_exchange(
	        hv, &(struct lvif_hv_request){.operation = LVIF_HVP_LIST, .text = {path, after}, .send_fd = -1});

	if (status != 0)
		return status;
	*more = reply->header.argument[0] != 0;
	for (size_t at = 0; at < reply->header.length; count++) {
		size_t bytes = strnlen(reply->payload + at, reply->header.length - at) + 1;

		if (bytes > LVIF_HV_PATH_MAX + 1 || at + bytes > reply->header.length)
			return -EPROTO;
		memcpy(after, reply->payload + at, bytes);
		if (*used <= size && bytes <= size - *used)
			memcpy(names + *used, after, bytes);
		*used += bytes;
		at += bytes;
	}
	*more = *more && count > 0;
	return count;
}

int lvif_hv_list(struct lvif_hv *hv, char const *path, char *names, size_t size, size_t *needed)
{
	char after[LVIF_HV_PATH_MAX + 1] = "";
	size_t used = 0;
	bool more = true;
	int count = 0;

	lvif_hv_begin(hv);
	while (more && count >= 0) {
		int page = list_page(hv, path, after, names, size, &used, &more);

		count = page < 0 ? page : count + page;
	}
	lvif_hv_end(hv);
	if (needed != NULL)
		*needed = used;
	return count >= 0 && used > size ? -EMSGSIZE : count;
}

int lvif_hv_watch(struct lvif_hv *hv, char const *path)
{
	return path_call(hv, LVIF_HVP_WATCH, path);
}

int lvif_hv_unwatch(struct lvif_hv *hv, char const *path)
{
	return path_call(hv, LVIF_HVP_UNWATCH, path);
}

int lvif_hv_take_event(struct lvif_hv *hv, char *watched, char *changed)
{
	char packet[LVIF_HVP_EVENT_MAX + 1];
	size_t first;
	size_t second;
	ssize_t got;

	do
		got = recv(hv->events, packet, LVIF_HVP_EVENT_MAX, MSG_DONTWAIT);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return errno == EAGAIN ? 0 : -ECONNRESET;
	if (got == 0)
		return -ECONNRESET;
	packet[got] = '\0';
	first = strlen(packet);
	second = first < (size_t)got ? strlen(packet + first + 1) : LVIF_HV_PATH_MAX + 1;
	if (first > LVIF_HV_PATH_MAX || second > LVIF_HV_PATH_MAX)
		return -EPROTO;
	memcpy(watched, packet, first + 1);
	memcpy(changed, packet + first + 1, second + 1);
	return 1;
}
