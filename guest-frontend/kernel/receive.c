/* SPDX-License-Identifier: BSD-2-Clause */
/* Receiving. */
#include "interface.h"

#include <linux/etherdevice.h>
#include <linux/skbuff.h>
#include <linux/virtio_net.h>

#define HEADER_BYTES 128u /* what goes into the packet's own memory of a frame that is longer than ... */
#define LINEAR_BYTES 256u /* ... this; the rest goes into pages */
#define PIECE_BYTES 2048u /* smallest piece of a page, so that MAX_SKB_FRAGS of single pages hold the longest frame */
#define PUBLISH_BYTES (32u << 10) /* space is given back to the server after so many: a full ring loses frames */

/* The kernel's own check of offloads from others is that of virtio's headers. */
static bool set_offload(struct sk_buff *skb, struct lvif_offload const *offload)
{
	struct virtio_net_hdr header = {.gso_type = VIRTIO_NET_HDR_GSO_NONE};

	if (offload->flags & LVIF_CSUM_PARTIAL) {
		header.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		header.csum_start = __cpu_to_virtio16(true, offload->csum_start);
		header.csum_offset = __cpu_to_virtio16(true, offload->csum_offset);
	} else if (offload->flags & LVIF_CSUM_OK) {
		skb->ip_summed = CHECKSUM_UNNECESSARY;
	}
	if (offload->flags & (LVIF_GSO_TCP4 | LVIF_GSO_TCP6)) {
		header.gso_type = offload->flags & LVIF_GSO_TCP4 ? VIRTIO_NET_HDR_GSO_TCPV4 : VIRTIO_NET_HDR_GSO_TCPV6;
		header.gso_size = __cpu_to_virtio16(true, offload->gso_size);
		header.hdr_len = __cpu_to_virtio16(true, offload->header_length);
	}
	return virtio_net_hdr_to_skb(skb, &header, true) == 0;
}

static bool copy_into_pages(struct lvif_interface *interface, struct sk_buff *skb, uint8_t const *bytes, uint32_t left)
{
	struct page_frag *const pages = &interface->rx_pages;

	while (left > 0) {
		int const piece = skb_shinfo(skb)->nr_frags;
		uint32_t length;

		if (piece == MAX_SKB_FRAGS || !skb_page_frag_refill(min(left, PIECE_BYTES), pages, GFP_ATOMIC))
			return false;
		length = min(left, pages->size - pages->offset);
		memcpy(page_address(pages->page) + pages->offset, bytes, length);
		get_page(pages->page);
		skb_add_rx_frag(skb, piece, pages->page, (int)pages->offset, (int)length, length);
		pages->offset += length;
		bytes += length;
		left -= length;
	}
	return true;
}

/* NULL: dropped and counted. */
static struct sk_buff *packet_of(struct lvif_interface *interface, struct lvif_frame const *frame)
{
	uint32_t const linear = frame->length <= LINEAR_BYTES ? frame->length : HEADER_BYTES;
	struct sk_buff *const skb = napi_alloc_skb(&interface->napi, linear);

	if (skb == NULL) {
		interface->netdev->stats.rx_dropped++;
		return NULL;
	}
	skb_put_data(skb, frame->bytes, linear);
	if (!copy_into_pages(interface, skb, frame->bytes + linear, frame->length - linear)) {
		interface->netdev->stats.rx_dropped++;
	} else if (!set_offload(skb, &frame->offload)) {
		interface->rx_bad_offload++;
		interface->netdev->stats.rx_errors++;
		interface->netdev->stats.rx_frame_errors++;
	} else {
		return skb;
	}
	dev_kfree_skb_any(skb);
	return NULL;
}

/* How many frames were taken. *result: what the last lvif_rx_peek() said, 1 if the budget was spent. */
static int take_frames(struct lvif_interface *interface, int budget, int *result)
{
	uint32_t unpublished = 0;
	struct lvif_frame frame;
	int done = 0;

	for (*result = 1; done < budget; done++) {
		struct sk_buff *skb;

		*result = lvif_rx_peek(interface->device, 0, &frame);
		if (*result != 1)
			break;
		skb = packet_of(interface, &frame);
		lvif_rx_release(interface->device, 0);
		unpublished += frame.length;
		if (unpublished >= PUBLISH_BYTES) {
			lvif_rx_publish(interface->device, 0);
			unpublished = 0;
		}
		if (skb != NULL) {
			dev_sw_netstats_rx_add(interface->netdev, skb->len);
			skb->protocol = eth_type_trans(skb, interface->netdev);
			napi_gro_receive(&interface->napi, skb);
		}
	}
	return done;
}

int lvif_receive_poll(struct napi_struct *napi, int budget)
{
	struct lvif_interface *const interface = container_of(napi, struct lvif_interface, napi);
	bool resumed = false;
	int result = LVIF_ENOTCONN;
	int done = 0;

	spin_lock(&interface->rx_lock);
	if (interface->channel != NULL) {
		lvif_rx_wake(interface->device, 0);
		done = take_frames(interface, budget, &result);
		resumed = lvif_transmit_resume(interface);
		if (result == LVIF_EPROTO)
			lvif_follow_wake(interface);
	}
	if (done < budget && (result < 0 || lvif_rx_sleep(interface->device, 0))) {
		if (napi_complete_done(napi, done) && interface->channel != NULL)
			lvif_channel_done(interface->channel, done > 0 || resumed);
	} else {
		if (result >= 0)
			lvif_rx_publish(interface->device, 0);
		done = budget;
	}
	spin_unlock(&interface->rx_lock);
	return done;
}

void lvif_receive_look(struct lvif_interface *interface)
{
	local_bh_disable();
	napi_schedule(&interface->napi);
	local_bh_enable(); /* runs it */
}

void lvif_receive_begin(struct lvif_interface *interface)
{
	spin_lock_bh(&interface->rx_lock);
	interface->channel =
	        lvif_domain_channel(&interface->domain, lvif_queue_event(interface->device, 0), &interface->napi);
	spin_unlock_bh(&interface->rx_lock);
	lvif_receive_look(interface);
}

void lvif_receive_end(struct lvif_interface *interface)
{
	spin_lock_bh(&interface->rx_lock);
	interface->channel = NULL;
	spin_unlock_bh(&interface->rx_lock);
}
