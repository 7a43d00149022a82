/* SPDX-License-Identifier: BSD-2-Clause */
/* What a caller may know about its device. */
#include "device.h"

size_t lvif_device_bytes(void)
{
	return sizeof(struct lvif_device);
}

struct lvif_offer const *lvif_offer(struct lvif_device const *device)
{
	bool const valid = device->phase == LVIF_PHASE_OFFERED || device->phase == LVIF_PHASE_CONNECTING ||
	                   device->phase == LVIF_PHASE_CONNECTED;

	return valid ? &device->offer : NULL;
}

uint16_t lvif_server_domain(struct lvif_device const *device)
{
	return device->server;
}

char const *lvif_detach_reason(struct lvif_device const *device)
{
	return device->reason;
}

bool lvif_link_up(struct lvif_device const *device)
{
	return device->link_up;
}

uint16_t lvif_mtu(struct lvif_device const *device)
{
	return device->mtu;
}

uint32_t lvif_features(struct lvif_device const *device)
{
	return device->connection.features;
}

uint16_t lvif_queues(struct lvif_device const *device)
{
	return __atomic_load_n(&device->live_queues, __ATOMIC_ACQUIRE); /* LIVE */
}

uint32_t lvif_control_event(struct lvif_device const *device)
{
	return device->connection.event[0];
}

uint32_t lvif_queue_event(struct lvif_device const *device, uint16_t queue)
{
	return queue < LVIF_MAX_QUEUES ? device->queues[queue].event : 0;
}

void lvif_statistics(struct lvif_device const *device, struct lvif_statistics *sum)
{
	struct lvif_statistics total = {0};

	for (unsigned q = 0; q < LVIF_MAX_QUEUES; q++) {
		struct lvif_queue const *const queue = &device->queues[q];

		total.tx_frames += __atomic_load_n(&queue->tx.frames, __ATOMIC_RELAXED);
		total.tx_bytes += __atomic_load_n(&queue->tx.bytes, __ATOMIC_RELAXED);
		total.tx_full += __atomic_load_n(&queue->tx.full, __ATOMIC_RELAXED);
		total.rx_frames += __atomic_load_n(&queue->rx.frames, __ATOMIC_RELAXED);
		total.rx_bytes += __atomic_load_n(&queue->rx.bytes, __ATOMIC_RELAXED);
		total.rx_broken += __atomic_load_n(&queue->tx.breaks, __ATOMIC_RELAXED);
		total.rx_broken += __atomic_load_n(&queue->rx.breaks, __ATOMIC_RELAXED);
		total.notifications += __atomic_load_n(&queue->tx_notifications, __ATOMIC_RELAXED);
		total.notifications += __atomic_load_n(&queue->rx_notifications, __ATOMIC_RELAXED);
	}
	total.rx_broken += __atomic_load_n(&device->control_breaks, __ATOMIC_RELAXED);
	total.notifications += __atomic_load_n(&device->control_notifications, __ATOMIC_RELAXED);
	total.messages = __atomic_load_n(&device->control_messages, __ATOMIC_RELAXED);
	total.connections = __atomic_load_n(&device->connections, __ATOMIC_RELAXED);
	*sum = total;
}
