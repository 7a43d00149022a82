/* SPDX-License-Identifier: BSD-2-Clause */
/* Client of librettos-hypervisord: the portmap, and what hypervisord holds. */
#define _GNU_SOURCE
#include "hypervisord_connection.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int lvif_hv_port_bind(struct lvif_hv *hv, uint8_t protocol, uint16_t port, uint16_t *bound)
{
	uint64_t results[LVIF_HVP_ARGUMENTS];
	int status = lvif_hv_call(
	        hv,
	        &(struct lvif_hv_request){.operation = LVIF_HVP_PORT_BIND, .argument = {protocol, port}, .send_fd = -1},
	        results);

	if (status == 0 && bound != NULL)
		*bound = (uint16_t)results[0];
	return status;
}

int lvif_hv_port_lease(struct lvif_hv *hv, uint8_t protocol, uint16_t count, uint16_t *first)
{
	uint64_t results[LVIF_HVP_ARGUMENTS];
	int status =
	        lvif_hv_call(hv,
	                     &(struct lvif_hv_request){
	                             .operation = LVIF_HVP_PORT_LEASE, .argument = {protocol, count}, .send_fd = -1},
	                     results);

	if (status == 0 && first != NULL)
		*first = (uint16_t)results[0];
	return status;
}

int lvif_hv_port_release(struct lvif_hv *hv, uint8_t protocol, uint16_t first, uint16_t count)
{
	return lvif_hv_call(hv,
	                    &(struct lvif_hv_request){.operation = LVIF_HVP_PORT_RELEASE,
	                                              .argument = {protocol, first, count},
	                                              .send_fd = -1},
	                    NULL);
}

int lvif_hv_portmap_map(struct lvif_hv *hv, struct lvif_portmap const **portmap)
{
	int fd = -1;
	int status = 0;

	lvif_hv_begin(hv);
	if (hv->portmap == NULL) {
		status = lvif_hv_exchange(
		        hv, &(struct lvif_hv_request){
		                    .operation = LVIF_HVP_PORTMAP, .send_fd = -1, .fds = &fd, .fd_count = 1});
		if (status == 0) {
			void *address = mmap(NULL, LVIF_PORTMAP_BYTES, PROT_READ, MAP_SHARED, fd, 0);

			status = address == MAP_FAILED ? -errno : 0;
			hv->portmap = status == 0 ? address : NULL;
			close(fd);
		}
	}
	*portmap = hv->portmap;
	lvif_hv_end(hv);
	return status;
}

int lvif_hv_port_set_limit(struct lvif_hv *hv, uint16_t domain, uint32_t ports)
{
	return lvif_hv_call(hv,
	                    &(struct lvif_hv_request){
	                            .operation = LVIF_HVP_PORT_SET_LIMIT, .argument = {domain, ports}, .send_fd = -1},
	                    NULL);
}

int lvif_hv_port_reserve(struct lvif_hv *hv, uint8_t protocol, uint16_t first, uint16_t count, bool reserve)
{
	return lvif_hv_call(hv,
	                    &(struct lvif_hv_request){.operation = LVIF_HVP_PORT_RESERVE,
	                                              .argument = {protocol, first, count, reserve},
	                                              .send_fd = -1},
	                    NULL);
}

int lvif_hv_port_query(struct lvif_hv *hv, uint8_t protocol, uint16_t port, struct lvif_port_info *info)
{
	struct lvif_hvp_message const *reply = &hv->message;
	uint64_t const *result = reply->header.argument;
	int status;

	lvif_hv_begin(hv);
	status = lvif_hv_exchange(hv, &(struct lvif_hv_request){.operation = LVIF_HVP_PORT_QUERY,
	                                                        .argument = {protocol, port},
	                                                        .send_fd = -1});
	if (status == 0) {
		size_t length = strnlen(reply->payload, reply->header.length);

		memset(info, 0, sizeof(*info));
		info->entry = (uint32_t)result[0];
		info->age_s = (uint32_t)result[1];
		info->quarantine_left_s = (uint32_t)result[2];
		info->owner_ports = (uint32_t)result[3];
		info->owner_limit = (uint32_t)result[4];
		memcpy(info->owner_name, reply->payload, length <= LVIF_HV_NAME_MAX ? length : LVIF_HV_NAME_MAX);
	}
	lvif_hv_end(hv);
	return status;
}

int lvif_hv_statistics(struct lvif_hv *hv, struct lvif_hv_totals *statistics)
{
	int status;

	lvif_hv_begin(hv);
	status = lvif_hv_exchange(hv, &(struct lvif_hv_request){.operation = LVIF_HVP_STATISTICS, .send_fd = -1});
	if (status == 0 && hv->message.header.length != sizeof(*statistics))
		status = -EPROTO;
	if (status == 0)
		memcpy(statistics, hv->message.payload, sizeof(*statistics));
	lvif_hv_end(hv);
	return status;
}
