/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The network interface of a Linux domU: a guest's device as a net_device, of a guest with an address of its own.
 *
 * Theory of operation
 *
 * A work item follows the device's state machine (lvif_poll) and may block in xenstore; watches and events of the control ring queue it.
 * The kernel's senders copy a packet, headers and fragments, straight into the tx ring as one frame of up to 64 KiB, under the lock of
 * the net_device's queue. NAPI takes frames out of the rx ring, under rx_lock. Both locks are what `quiesce` takes and drops.
 *
 * One event channel tells of frames and of space. It is masked from its interrupt until the poll has found nothing more and has armed
 * the ring again, so that a busy ring costs no interrupts; and the server is notified only where the ring says that it sleeps or waits.
 *
 * No packet is lost for want of space: the queue is stopped before the ring is full. There is no limit of bytes in the ring beside its
 * size (BQL): the ring tells of space when the sender asks for it, not of each frame that was taken.
 *
 * The neighbours hear of our addresses with each connection but the first: the domain may have come from another host.
 *
 * A server that crashes is not seen here: the rings stay, what is in them waits, the carrier stays up, a full queue stays stopped, and
 * the next server goes on. A detached device has no carrier.
 */
#ifndef LIBRETTOS_KERNEL_INTERFACE_H
#define LIBRETTOS_KERNEL_INTERFACE_H

#include <linux/mutex.h>
#include <linux/netdevice.h>
#include <linux/workqueue.h>

#include "domain.h"

struct xenbus_device;

struct lvif_interface {
	struct net_device *netdev;
	struct xenbus_device *xenbus;
	struct lvif_domain domain;
	struct lvif_environment environment;
	struct lvif_device *device;

	/* follow.c; under control_lock */
	struct workqueue_struct *workqueue;
	struct delayed_work control;
	struct mutex control_lock;
	bool open;               /* between lvif_open() and lvif_close() */
	bool resuming;           /* to be opened as soon as that can be done */
	bool connected;          /* what the data path was told */
	bool registered;         /* the net_device; it is at the first connection */
	bool announcing;         /* the neighbours are to hear of our addresses once there is a carrier */
	uint64_t connections;    /* the one that it was told of */
	uint64_t messages;       /* of the control ring, up to the last look */
	char why[64];            /* there is no connection, or "" */
	unsigned long why_since; /* jiffies */
	bool why_told;           /* it is in the log */

	/* Not under RTNL: who takes the net_device away holds that, and waits for the readers in sysfs. */
	spinlock_t offer_lock;
	struct lvif_offer offer; /* of the present connection, or the last one */

	/* transmit.c; under the queue's lock */
	bool sending;
	uint16_t tx_flags;   /* of lvif_offload that were agreed */
	uint32_t tx_longest; /* bytes of a frame */
	uint64_t tx_timeouts;

	/* receive.c */
	struct napi_struct napi;
	spinlock_t rx_lock;
	struct lvif_channel *channel; /* under rx_lock; NULL: not connected */
	struct page_frag rx_pages;    /* of the poll */
	uint64_t rx_bad_offload;
};

/* interface.c: for one xenbus device, not registered yet; NULL: no memory. */
struct lvif_interface *lvif_interface_create(struct xenbus_device *xenbus);
void lvif_interface_free(struct lvif_interface *interface);

/* follow.c: opens the device and begins to follow it, unless it is; a negative errno. */
int lvif_follow_start(struct lvif_interface *interface);
/* After lvif_follow_stop(), in a domain that may be another one now: as soon as the server has made the device there. */
void lvif_follow_resume(struct lvif_interface *interface);
/* Leaves in order. The net_device stays, without carrier. */
void lvif_follow_stop(struct lvif_interface *interface);
/* Of `control`. */
void lvif_follow_work(struct work_struct *work);
/* Something may have changed: any context. */
void lvif_follow_wake(struct lvif_interface *interface);

/* transmit.c */
netdev_tx_t lvif_start_xmit(struct sk_buff *skb, struct net_device *netdev);
void lvif_tx_timeout(struct net_device *netdev, unsigned queue);
void lvif_transmit_begin(struct lvif_interface *interface);
void lvif_transmit_end(struct lvif_interface *interface);
/* Lets senders go on if there is room; from NAPI. Whether it did. */
bool lvif_transmit_resume(struct lvif_interface *interface);

/* receive.c */
int lvif_receive_poll(struct napi_struct *napi, int budget);
void lvif_receive_begin(struct lvif_interface *interface);
void lvif_receive_end(struct lvif_interface *interface);
/* Schedules a poll from a process. */
void lvif_receive_look(struct lvif_interface *interface);

extern struct attribute_group const lvif_attributes; /* attributes.c */
extern struct ethtool_ops const lvif_ethtool;        /* ethtool.c */

#endif
