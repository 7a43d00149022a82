/* SPDX-License-Identifier: BSD-2-Clause */
/* Sending. All of it under the lock of the net_device's one queue. */
#include "interface.h"

#include <linux/skbuff.h>
#include <linux/tcp.h>

static struct netdev_queue *queue_of(struct lvif_interface *interface)
{
	return netdev_get_tx_queue(interface->netdev, 0);
}

/* What is left to the server. */
static struct lvif_offload offload_of(struct sk_buff const *skb)
{
	struct lvif_offload offload = {0};

	if (skb->ip_summed == CHECKSUM_PARTIAL) {
		offload.flags = LVIF_CSUM_PARTIAL;
		offload.csum_start = (uint16_t)skb_checksum_start_offset(skb);
		offload.csum_offset = skb->csum_offset;
	}
	if (skb_is_gso(skb)) {
		offload.flags |= skb_shinfo(skb)->gso_type & SKB_GSO_TCPV4 ? LVIF_GSO_TCP4 : LVIF_GSO_TCP6;
		offload.gso_size = skb_shinfo(skb)->gso_size;
		offload.header_length = (uint16_t)(skb_transport_offset(skb) + tcp_hdrlen(skb));
	}
	return offload;
}

static bool has_room(struct lvif_interface *interface)
{
	uint8_t *frame;

	return lvif_tx_reserve(interface->device, 0, interface->tx_longest, &frame) != LVIF_EAGAIN;
}

/* Unless there is room for the longest frame; then the ring's event will tell. The queue is stopped before the ring is asked to: who
 * hears of the event looks whether it is. */
static bool stop_if_full(struct lvif_interface *interface)
{
	if (has_room(interface))
		return false;
	netif_stop_queue(interface->netdev);
	if (!lvif_tx_wait(interface->device, 0, interface->tx_longest))
		return true;
	netif_start_queue(interface->netdev);
	return false;
}

static int copy_to_ring(struct lvif_interface *interface, struct sk_buff *skb)
{
	struct lvif_offload const offload = offload_of(skb);
	uint8_t *frame;
	int result = lvif_tx_reserve(interface->device, 0, skb->len, &frame);

	if (result != 0)
		return result;
	skb_tx_timestamp(skb);
	if ((offload.flags & ~interface->tx_flags) != 0 || skb_copy_bits(skb, 0, frame, (int)skb->len) != 0)
		return LVIF_EINVAL;
	return lvif_tx_commit(interface->device, 0, skb->len, &offload);
}

netdev_tx_t lvif_start_xmit(struct sk_buff *skb, struct net_device *netdev)
{
	struct lvif_interface *const interface = netdev_priv(netdev);
	int result = interface->sending ? copy_to_ring(interface, skb) : LVIF_ENOTCONN;

	if (result == LVIF_EAGAIN) { /* the queue is stopped before that happens, unless the rings have just changed */
		if (stop_if_full(interface))
			return NETDEV_TX_BUSY;
		result = copy_to_ring(interface, skb);
	}
	if (result == 0) {
		dev_sw_netstats_tx_add(netdev, 1, skb->len);
		dev_consume_skb_any(skb);
		stop_if_full(interface);
	} else {
		netdev->stats.tx_dropped++;
		dev_kfree_skb_any(skb);
		if (result == LVIF_EPROTO)
			lvif_follow_wake(interface);
	}
	if (interface->sending && (!netdev_xmit_more() || netif_queue_stopped(netdev)))
		lvif_tx_publish(interface->device, 0);
	return NETDEV_TX_OK;
}

bool lvif_transmit_resume(struct lvif_interface *interface)
{
	struct netdev_queue *const queue = queue_of(interface);
	bool resumed = false;

	if (!netif_tx_queue_stopped(queue))
		return false;
	__netif_tx_lock(queue, smp_processor_id());
	if (interface->sending && (has_room(interface) || lvif_tx_wait(interface->device, 0, interface->tx_longest))) {
		netif_tx_wake_queue(queue);
		resumed = true;
	}
	__netif_tx_unlock(queue);
	return resumed;
}

/* The server lives, and takes nothing (while it does not live, follow.c keeps the watchdog from barking). Its notification may
 * have been lost: look once more. */
void lvif_tx_timeout(struct net_device *netdev, unsigned queue)
{
	struct lvif_interface *const interface = netdev_priv(netdev);

	interface->tx_timeouts++;
	netdev_warn(netdev, "queue %u: the server has taken no frame for %u ms\n", queue,
	            jiffies_to_msecs(jiffies - dev_trans_start(netdev)));
	lvif_receive_look(interface);
	lvif_follow_wake(interface);
}

void lvif_transmit_begin(struct lvif_interface *interface)
{
	struct netdev_queue *const queue = queue_of(interface);

	__netif_tx_lock_bh(queue);
	interface->sending = true;
	interface->tx_longest = lvif_tx_max(interface->device, 0);
	__netif_tx_unlock_bh(queue);
	if (netif_running(interface->netdev))
		netif_tx_wake_queue(queue);
}

void lvif_transmit_end(struct lvif_interface *interface)
{
	struct netdev_queue *const queue = queue_of(interface);

	__netif_tx_lock_bh(queue);
	interface->sending = false;
	__netif_tx_unlock_bh(queue);
}
