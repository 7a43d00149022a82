/* SPDX-License-Identifier: BSD-2-Clause */
/* Client of librettos-hypervisord: connecting, and one request with its reply. */
#define _GNU_SOURCE
#include "hypervisord_connection.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { REPLY_TIMEOUT_MS = 5000, FDS_MAX = 4 };

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int fill_request(struct lvif_hvp_message *message, struct lvif_hv_request const *request, uint32_t sequence)
{
	size_t length = 0;

	memset(&message->header, 0, sizeof(message->header));
	message->header.magic = LVIF_HVP_MAGIC;
	message->header.version = LVIF_HVP_VERSION;
	message->header.operation = (uint16_t)request->operation;
	message->header.sequence = sequence;
	memcpy(message->header.argument, request->argument, sizeof(request->argument));
	for (size_t i = 0; i < 2 && request->text[i] != NULL; i++) {
		size_t size = strlen(request->text[i]) + 1;

		if (size > sizeof(message->payload) - length)
			return -ENAMETOOLONG;
		memcpy(message->payload + length, request->text[i], size);
		length += size;
	}
	message->header.length = (uint32_t)length;
	return 0;
}

static int send_request(struct lvif_hv *hv, int fd)
{
	struct iovec bytes = {&hv->message, sizeof(struct lvif_hvp_header) + hv->message.header.length};
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	struct msghdr packet = {.msg_iov = &bytes, .msg_iovlen = 1};

	if (fd >= 0) {
		memset(&control, 0, sizeof(control));
		packet.msg_control = &control;
		packet.msg_controllen = sizeof(control);
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	}
	while (sendmsg(hv->socket, &packet, MSG_NOSIGNAL) < 0) {
		if (errno != EINTR)
			return -ECONNRESET;
	}
	return 0;
}

static int wait_readable(int fd)
{
	int64_t const deadline = now_ms() + REPLY_TIMEOUT_MS;

	for (;;) {
		struct pollfd readable = {.fd = fd, .events = POLLIN};
		int64_t left = deadline - now_ms();
		int ready = left > 0 ? poll(&readable, 1, (int)left) : 0;

		if (ready > 0)
			return 0;
		if (ready == 0)
			return -ETIMEDOUT;
		if (errno != EINTR)
			return -errno;
	}
}

/* Takes the descriptors of a packet; more than FDS_MAX never come from hypervisord. */
static int take_fds(struct msghdr *packet, int fds[FDS_MAX])
{
	int count = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(packet); c != NULL; c = CMSG_NXTHDR(packet, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		count = (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(fds, CMSG_DATA(c), (size_t)count * sizeof(int));
	}
	return count;
}

/* 0 and the packet in hv->message, with *fd_count descriptors, or an error. */
static int receive_reply(struct lvif_hv *hv, uint32_t sequence, uint16_t operation, int fds[FDS_MAX], int *fd_count)
{
	struct iovec bytes = {&hv->message, sizeof(hv->message)};
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(FDS_MAX * sizeof(int))];
	} control;
	struct msghdr packet = {
	        .msg_iov = &bytes, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
	struct lvif_hvp_header const *header = &hv->message.header;
	ssize_t got;
	int error = wait_readable(hv->socket);

	*fd_count = 0;
	if (error != 0)
		return error;
	do
		got = recvmsg(hv->socket, &packet, MSG_CMSG_CLOEXEC);
	while (got < 0 && errno == EINTR);
	if (got <= 0)
		return -ECONNRESET;
	*fd_count = take_fds(&packet, fds);
	if ((packet.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 || (size_t)got < sizeof(*header) ||
	    header->magic != LVIF_HVP_MAGIC || header->version != LVIF_HVP_VERSION || header->operation != operation ||
	    header->sequence != sequence || (size_t)got != sizeof(*header) + header->length || header->status > 0)
		return -EPROTO;
	return 0;
}

void lvif_hv_begin(struct lvif_hv *hv)
{
	pthread_mutex_lock(&hv->mutex);
}

void lvif_hv_end(struct lvif_hv *hv)
{
	pthread_mutex_unlock(&hv->mutex);
}

int lvif_hv_exchange(struct lvif_hv *hv, struct lvif_hv_request const *request)
{
	int fds[FDS_MAX];
	int fd_count = 0;
	uint32_t sequence = ++hv->sequence;
	int error;

	if (hv->dead)
		return -ECONNRESET;
	error = fill_request(&hv->message, request, sequence);
	if (error != 0)
		return error;
	error = send_request(hv, request->send_fd);
	if (error == 0)
		error = receive_reply(hv, sequence, (uint16_t)request->operation, fds, &fd_count);
	if (error == 0 && hv->message.header.status == 0 && fd_count == request->fd_count) {
		memcpy(request->fds != NULL ? request->fds : fds, fds, (size_t)fd_count * sizeof(int));
		return 0;
	}
	for (int i = 0; i < fd_count; i++)
		close(fds[i]);
	if (error == 0 && hv->message.header.status < 0)
		return hv->message.header.status;
	/* No reply, or one that is not ours: a later reply could be taken for another request's. */
	hv->dead = true;
	shutdown(hv->socket, SHUT_RDWR);
	return error != 0 ? error : -EPROTO;
}

int lvif_hv_call(struct lvif_hv *hv, struct lvif_hv_request const *request, uint64_t results[LVIF_HVP_ARGUMENTS])
{
	int status;

	lvif_hv_begin(hv);
	status = lvif_hv_exchange(hv, request);
	if (status == 0 && results != NULL)
		memcpy(results, hv->message.header.argument, sizeof(hv->message.header.argument));
	lvif_hv_end(hv);
	return status;
}

static int connect_socket(char const *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd;

	if (path == NULL)
		path = getenv("LIBRETTOS_HYPERVISOR_SOCKET");
	if (path == NULL || path[0] == '\0')
		path = LVIF_HV_DEFAULT_SOCKET;
	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
		int error = -errno;

		close(fd);
		return error;
	}
	return fd;
}

int lvif_hv_connect(char const *socket_path, enum lvif_hv_role role, char const *name, struct lvif_hv **result)
{
	struct lvif_hv *hv = calloc(1, sizeof(*hv));
	uint64_t results[LVIF_HVP_ARGUMENTS];
	int error;

	if (hv == NULL)
		return -ENOMEM;
	hv->role = role;
	hv->events = -1;
	pthread_mutex_init(&hv->mutex, NULL);
	hv->socket = connect_socket(socket_path);
	error = hv->socket < 0 ? hv->socket : 0;
	if (error == 0)
		error = lvif_hv_call(hv,
		                     &(struct lvif_hv_request){.operation = LVIF_HVP_HELLO,
		                                               .argument = {role},
		                                               .text = {role == LVIF_HV_GUEST && name ? name : ""},
		                                               .send_fd = -1,
		                                               .fds = &hv->events,
		                                               .fd_count = 1},
		                     results);
	if (error != 0) {
		lvif_hv_close(hv);
		return error;
	}
	hv->self = (uint16_t)results[0];
	*result = hv;
	return 0;
}

void lvif_hv_close(struct lvif_hv *hv)
{
	if (hv == NULL)
		return;
	if (hv->socket >= 0)
		close(hv->socket);
	if (hv->events >= 0)
		close(hv->events);
	lvif_hv_ports_close(hv);
	for (struct lvif_hv_pages *pages = hv->pages; pages != NULL;) {
		struct lvif_hv_pages *next = pages->next;

		munmap(pages->address, pages->bytes);
		close(pages->fd);
		free(pages);
		pages = next;
	}
	if (hv->portmap != NULL)
		munmap((void *)(uintptr_t)hv->portmap, LVIF_PORTMAP_BYTES);
	pthread_mutex_destroy(&hv->mutex);
	free(hv);
}

uint16_t lvif_hv_self(struct lvif_hv const *hv)
{
	return hv->self;
}

int lvif_hv_fd(struct lvif_hv const *hv)
{
	return hv->events;
}
