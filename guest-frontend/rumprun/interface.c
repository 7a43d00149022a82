/* SPDX-License-Identifier: BSD-2-Clause */
#include "interface.h"

#include <string.h>

#include <bmk-rumpuser/core_types.h>
#include <bmk-rumpuser/rumpuser.h>

#include "contract.h"
#include "hypercalls.h"

#define NOT_LATER_US 1000000u /* an event may be lost: look once a second */
#define LINK_WAIT_US 1000000u /* for the server's word on the wire, before an application starts */
#define ATTACH_RETRY_US 200000u
#define RECEIVE_BURST 64

static struct virtif_user *the_interface;

struct virtif_user *lvif_the_interface(void)
{
	return the_interface;
}

int rumpcomp_lvif_addresses(struct lvif_addresses *addresses)
{
	struct lvif_offer const *const offer = the_interface != NULL ? &the_interface->offer : NULL;

	if (offer == NULL || !the_interface->was_connected)
		return 0;
	memcpy(addresses->ipv4, offer->ipv4, sizeof(addresses->ipv4));
	memcpy(addresses->gateway4, offer->gateway4, sizeof(addresses->gateway4));
	memcpy(addresses->ipv6, offer->ipv6, sizeof(addresses->ipv6));
	memcpy(addresses->gateway6, offer->gateway6, sizeof(addresses->gateway6));
	addresses->ipv4_prefix = offer->ipv4_prefix;
	addresses->ipv6_prefix = offer->ipv6_prefix;
	addresses->mtu = offer->mtu;
	return 1;
}

/* ---- the receive thread ---- */

/* Whether there may be more. */
static bool deliver_burst(struct virtif_user *interface)
{
	struct lvif_frame frame;
	int result = lvif_rx_peek(interface->device, 0, &frame);
	int done = 0;

	if (result == 1) {
		interface->in_burst = true;
		rumpuser__hyp.hyp_schedule();
		for (; done < RECEIVE_BURST && result == 1; done++) {
			struct iovec part = {(void *)(uintptr_t)frame.bytes, frame.length};

			if (!interface->dying)
				VIRTIF_DELIVER(interface->kernel_half, &part, 1);
			lvif_rx_release(interface->device, 0);
			result = done + 1 < RECEIVE_BURST ? lvif_rx_peek(interface->device, 0, &frame) : 0;
		}
		rumpuser__hyp.hyp_unschedule();
		lvif_rx_publish(interface->device, 0);
		lvif_tx_publish(interface->device, 0);
		interface->in_burst = false;
	}
	if (result < 0) {
		interface->receiving = false;
		lvif_sleeper_wake(&interface->control);
	}
	return done == RECEIVE_BURST;
}

static void receive(void *context)
{
	struct virtif_user *const interface = context;

	rumpuser__hyp.hyp_schedule();
	rumpuser__hyp.hyp_lwproc_newlwp(0);
	rumpuser__hyp.hyp_unschedule();
	while (!interface->dying) {
		bool again = false;

		if (interface->receiving) {
			lvif_rx_wake(interface->device, 0);
			again = deliver_burst(interface);
		}
		if (interface->receiving && !again)
			again = !lvif_rx_sleep(interface->device, 0);
		if (again)
			bmk_sched_yield(); /* else who reads what was received would never run */
		else
			lvif_sleeper_sleep(&interface->receiver, lvif_minios_now_us() + NOT_LATER_US);
	}
	rumpuser__hyp.hyp_schedule();
	rumpuser__hyp.hyp_lwproc_release();
	rumpuser__hyp.hyp_unschedule();
}

/* ---- the control thread ---- */

/* Of lvif_environment. Whoever is in a burst comes back: it holds nothing that the control thread has. */
static void quiesce(void *context)
{
	struct virtif_user *const interface =
	        (struct virtif_user *)(void *)((char *)context - offsetof(struct virtif_user, minios));

	interface->sending = false;
	interface->receiving = false;
	while (interface->in_burst)
		interface->environment.yield(context);
}

static void connected(struct virtif_user *interface, uint64_t connections)
{
	struct lvif_offer const *const offer = lvif_offer(interface->device);

	interface->connections = connections;
	interface->offer = *offer;
	interface->was_connected = true;
	bmk_printf("lvif: connected as a %s guest: %u.%u.%u.%u/%u, MTU %u\n",
	           offer->mode == LVIF_MODE_SHARED ? "shared" : "dedicated", offer->ipv4[0], offer->ipv4[1],
	           offer->ipv4[2], offer->ipv4[3], offer->ipv4_prefix, offer->mtu);
	lvif_minios_event_wakes(&interface->minios, lvif_queue_event(interface->device, 0), &interface->receiver);
	interface->sending = true;
	interface->receiving = true;
	lvif_sleeper_wake(&interface->receiver);
	lvif_sleeper_wake(&interface->creator);
}

/* Returns when lvif_poll() wants to be called again. */
static uint64_t follow_device(struct virtif_user *interface)
{
	uint64_t next_us = UINT64_MAX;
	enum lvif_phase phase;
	struct lvif_statistics sum;

	lvif_minios_take_watches(&interface->minios);
	phase = lvif_poll(interface->device, &next_us);
	lvif_statistics(interface->device, &sum);
	if (phase == LVIF_PHASE_CONNECTED && interface->connections != sum.connections)
		connected(interface, sum.connections);
	if (phase != LVIF_PHASE_CONNECTED && interface->connections != 0) {
		bmk_printf("lvif: detached: %s; waiting for the server\n", lvif_detach_reason(interface->device));
		interface->connections = 0;
	}
	if (lvif_link_up(interface->device) != interface->link_up) {
		interface->link_up = !interface->link_up;
		bmk_printf("lvif: link %s\n", interface->link_up ? "up" : "down");
		lvif_sleeper_wake(&interface->creator);
	}
	lvif_port_requests_pump(&interface->ports, interface->device);
	return next_us;
}

/* The server, or the operator, makes the device's directory when they see the domain. */
static bool open_device(struct virtif_user *interface)
{
	struct lvif_options const options = {.queues = 1, .mode = LVIF_MODE_SHARED, .program = "rumprun"};
	struct lvif_sleeper pause = {false, NULL}; /* a watch fires when it is set: not one that it wakes */
	bool told = false;

	while (!interface->dying) {
		int const result = lvif_open(interface->device, &interface->environment, &options);

		if (result == 0)
			return true;
		if (!told)
			bmk_printf("lvif: waiting until this domain has a device (librettosctl attach)\n");
		told = true;
		lvif_minios_take_watches(&interface->minios);
		lvif_sleeper_sleep(&pause, lvif_minios_now_us() + ATTACH_RETRY_US);
	}
	return false;
}

static void control(void *context)
{
	struct virtif_user *const interface = context;

	if (!open_device(interface))
		return;
	while (!interface->dying) {
		uint64_t const latest_us = lvif_minios_now_us() + NOT_LATER_US;
		uint64_t const next_us = follow_device(interface);

		lvif_sleeper_sleep(&interface->control, next_us < latest_us ? next_us : latest_us);
	}
	lvif_close(interface->device);
	lvif_minios_take_watches(&interface->minios);
}

/* ---- the contract ---- */

static int start(struct virtif_user *interface)
{
	interface->device = bmk_memalloc(lvif_device_bytes(), 64, BMK_MEMWHO_WIREDBMK);
	if (interface->device == NULL)
		return BMK_ENOMEM;
	if (lvif_minios_open(&interface->minios, &interface->control) != 0) {
		bmk_printf("lvif: xenstore does not say which domain this is\n");
		bmk_memfree(interface->device, BMK_MEMWHO_WIREDBMK);
		return BMK_EIO;
	}
	lvif_minios_environment(&interface->minios, &interface->environment);
	interface->environment.quiesce = quiesce;
	interface->receive_thread = bmk_sched_create("lvifreceive", NULL, 1, receive, interface, NULL, 0);
	interface->control_thread = bmk_sched_create("lvifcontrol", NULL, 1, control, interface, NULL, 0);
	return 0;
}

static void wait_until_connected(struct virtif_user *interface)
{
	uint64_t give_up_us;

	while (!interface->was_connected)
		lvif_sleeper_sleep(&interface->creator, UINT64_MAX);
	give_up_us = lvif_minios_now_us() + LINK_WAIT_US;
	while (!interface->link_up && lvif_minios_now_us() < give_up_us)
		lvif_sleeper_sleep(&interface->creator, give_up_us);
}

int VIFHYPER_CREATE(int unit, struct virtif_sc *kernel_half, uint8_t *address, struct virtif_user **user_half)
{
	struct virtif_user *interface;
	int locks;
	int error = BMK_ENOMEM;

	if (unit != 0 || the_interface != NULL)
		return BMK_EBUSY; /* a domain is one guest, and a guest has one device */
	rumpkern_unsched(&locks, NULL);
	interface = bmk_memcalloc(1, sizeof(*interface), BMK_MEMWHO_WIREDBMK);
	if (interface != NULL) {
		interface->kernel_half = kernel_half;
		error = start(interface);
	}
	if (error == 0) {
		the_interface = interface;
		wait_until_connected(interface);
		memcpy(address, interface->offer.mac, sizeof(interface->offer.mac));
		*user_half = interface;
	} else if (interface != NULL) {
		bmk_memfree(interface, BMK_MEMWHO_WIREDBMK);
	}
	rumpkern_sched(locks, NULL);
	return error;
}

void VIFHYPER_SEND(struct virtif_user *interface, struct iovec *parts, size_t n)
{
	uint32_t length = 0;
	uint8_t *frame;
	int result;

	for (size_t i = 0; i < n; i++)
		length += (uint32_t)parts[i].iov_len;
	if (!interface->sending)
		return;
	result = lvif_tx_reserve(interface->device, 0, length, &frame);
	if (result != 0) {
		interface->dropped++;
		if (result == LVIF_EPROTO)
			lvif_sleeper_wake(&interface->control);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		memcpy(frame, parts[i].iov_base, parts[i].iov_len);
		frame += parts[i].iov_len;
	}
	if (lvif_tx_commit(interface->device, 0, length, NULL) != 0)
		interface->dropped++;
	/* Acknowledgements of a burst leave with its end: one notification. */
	if (!interface->in_burst || bmk_current != interface->receive_thread)
		lvif_tx_publish(interface->device, 0);
}

void VIFHYPER_DYING(struct virtif_user *interface)
{
	interface->dying = true;
	lvif_sleeper_wake(&interface->receiver);
	lvif_sleeper_wake(&interface->control);
}

void VIFHYPER_DESTROY(struct virtif_user *interface)
{
	int locks;

	rumpkern_unsched(&locks, NULL);
	bmk_sched_join(interface->receive_thread);
	bmk_sched_join(interface->control_thread);
	bmk_printf("lvif: dropped for want of room: %llu frames\n", (unsigned long long)interface->dropped);
	the_interface = NULL;
	bmk_memfree(interface->device, BMK_MEMWHO_WIREDBMK);
	bmk_memfree(interface, BMK_MEMWHO_WIREDBMK);
	rumpkern_sched(locks, NULL);
}
