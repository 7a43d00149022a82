/* SPDX-License-Identifier: BSD-2-Clause */
/* Following the device: what the server says, and what the net_device is told of it. */
#include "interface.h"

#include <linux/etherdevice.h>
#include <linux/rtnetlink.h>
#include <net/sch_generic.h>
#include <xen/xenbus.h>

#define FRAME_MARGIN 64u    /* for headers that come on top of what the stack takes for a packet's length */
#define LOOK_AGAIN (1 * HZ) /* while the server is away */
#define TELL_AFTER (3 * HZ) /* why there is no connection */
#define SOON (HZ / 10)      /* until the network core has opened its queues */

#define ADVICE                                                                                                         \
	"an address of its own is what this driver needs: librettosctl attach NAME --ip ADDRESS. A guest of the "      \
	"shared "                                                                                                      \
	"address runs its programs with librettos-guest, which claims their ports"

static unsigned ring_kib = LVIF_RING_DEFAULT_CAPACITY / 1024;
module_param(ring_kib, uint, 0444);
MODULE_PARM_DESC(ring_kib, "KiB of each of the two rings, a power of two from 64 to 16384; the server may allow less");

void lvif_follow_wake(struct lvif_interface *interface)
{
	mod_delayed_work(interface->workqueue, &interface->control, 0);
}

static void domain_changed(struct lvif_domain *domain)
{
	lvif_follow_wake(container_of(domain, struct lvif_interface, domain));
}

/* Of lvif_environment. */
static void quiesce(void *context)
{
	struct lvif_interface *const interface = container_of(context, struct lvif_interface, domain);

	lvif_receive_end(interface);
	lvif_transmit_end(interface);
}

/* ---- what the net_device is told; under RTNL ---- */

static void set_mtu(struct lvif_interface *interface, uint16_t mtu)
{
	struct net_device *const netdev = interface->netdev;

	if (mtu == netdev->max_mtu)
		return;
	netdev->max_mtu = mtu;
	if (!interface->registered)
		netdev->mtu = mtu;
	else if (dev_set_mtu(netdev, mtu) != 0)
		netdev_warn(netdev, "the MTU cannot become %u\n", mtu);
}

static void set_address(struct lvif_interface *interface, uint8_t const *mac)
{
	struct net_device *const netdev = interface->netdev;

	if (ether_addr_equal_unaligned(netdev->dev_addr, mac))
		return;
	eth_hw_addr_set(netdev, mac);
	if (interface->registered)
		call_netdevice_notifiers(NETDEV_CHANGEADDR, netdev);
}

static int tell_netdev(struct lvif_interface *interface)
{
	struct net_device *const netdev = interface->netdev;
	int result = 0;

	spin_lock(&interface->offer_lock);
	interface->offer = *lvif_offer(interface->device);
	spin_unlock(&interface->offer_lock);
	set_address(interface, interface->offer.mac);
	set_mtu(interface, interface->offer.mtu);
	netif_set_tso_max_size(netdev, lvif_tx_max(interface->device, 0) - FRAME_MARGIN);
	if (interface->registered) {
		netdev_update_features(netdev);
		return 0;
	}
	netdev->addr_assign_type = NET_ADDR_PERM;
	memcpy(netdev->perm_addr, interface->offer.mac, ETH_ALEN);
	result = register_netdevice(netdev);
	interface->registered = result == 0;
	return result;
}

/* ---- connections ---- */

static void establish(struct lvif_interface *interface)
{
	uint32_t const features = lvif_features(interface->device);
	bool const again = interface->registered;
	int result;

	WRITE_ONCE(interface->tx_flags, (uint16_t)((features & LVIF_F_TX_CSUM ? LVIF_CSUM_PARTIAL : 0) |
	                                           (features & LVIF_F_TX_TSO4 ? LVIF_GSO_TCP4 : 0) |
	                                           (features & LVIF_F_TX_TSO6 ? LVIF_GSO_TCP6 : 0)));
	rtnl_lock();
	result = tell_netdev(interface);
	rtnl_unlock();
	if (result != 0) {
		dev_err(&interface->xenbus->dev, "the network interface cannot be made: error %d\n", result);
		return;
	}
	interface->connected = true;
	interface->announcing = again;
	lvif_transmit_begin(interface);
	lvif_receive_begin(interface);
	netdev_info(interface->netdev, "connected: %pI4/%u, %pM, MTU %u\n", interface->offer.ipv4,
	            interface->offer.ipv4_prefix, interface->offer.mac, interface->offer.mtu);
}

static void retire(struct lvif_interface *interface)
{
	interface->connected = false;
	netif_carrier_off(interface->netdev);
	if (net_ratelimit())
		netdev_warn(interface->netdev, "detached\n");
}

static void follow_link(struct lvif_interface *interface)
{
	bool const up = lvif_link_up(interface->device);

	if (up != netif_carrier_ok(interface->netdev)) {
		if (up)
			netif_carrier_on(interface->netdev);
		else
			netif_carrier_off(interface->netdev);
	}
	if (lvif_mtu(interface->device) != interface->netdev->max_mtu) {
		rtnl_lock();
		set_mtu(interface, lvif_mtu(interface->device));
		rtnl_unlock();
	}
}

/* Frames leave some time after the carrier has come. Jiffies until the next look. */
static unsigned long announce(struct lvif_interface *interface)
{
	struct net_device *const netdev = interface->netdev;

	if (!interface->announcing || !netif_carrier_ok(netdev))
		return MAX_JIFFY_OFFSET;
	if (netif_running(netdev) && qdisc_tx_is_noop(netdev))
		return SOON;
	interface->announcing = false;
	netdev_notify_peers(netdev);
	return MAX_JIFFY_OFFSET;
}

/* Once for each reason, if it lasts: a first offer is often made before the server knows what is asked for. */
static void say(struct lvif_interface *interface, char const *why, char const *advice)
{
	if (strcmp(why, interface->why) != 0) {
		strscpy(interface->why, why, sizeof(interface->why));
		interface->why_since = jiffies;
		interface->why_told = *why == '\0';
	}
	if (interface->why_told || time_before(jiffies, interface->why_since + TELL_AFTER))
		return;
	interface->why_told = true;
	dev_warn(&interface->xenbus->dev, "not connected: %s; waiting%s\n", why, advice);
}

static void say_why(struct lvif_interface *interface, enum lvif_phase phase)
{
	bool const shared = phase == LVIF_PHASE_OFFERED && lvif_offer(interface->device)->mode == LVIF_MODE_SHARED;
	char const *const why = phase == LVIF_PHASE_CONNECTED ? ""
	                        : shared                      ? "the server offers the address that guests share"
	                                                      : lvif_detach_reason(interface->device);

	say(interface, why, shared || strstarts(why, "no dedicated address") ? ". " ADVICE : "");
}

static uint64_t follow(struct lvif_interface *interface)
{
	uint64_t next_us = UINT64_MAX;
	enum lvif_phase const phase = lvif_poll(interface->device, &next_us);
	struct lvif_statistics sum;
	bool useful;

	lvif_statistics(interface->device, &sum);
	useful = sum.messages != interface->messages; /* life and death of the server are rare enough to be left out */
	interface->messages = sum.messages;
	if (interface->connected && (phase != LVIF_PHASE_CONNECTED || interface->connections != sum.connections))
		retire(interface);
	if (phase == LVIF_PHASE_CONNECTED && interface->connections != sum.connections) {
		interface->connections = sum.connections;
		establish(interface);
	}
	if (interface->connected)
		follow_link(interface);
	say_why(interface, phase);
	lvif_domain_events_done(&interface->domain, useful);
	return next_us;
}

/* A domain that could not be used is still to be closed, but not by the control work: that waits for xenbus' thread. */
static int open_device(struct lvif_interface *interface)
{
	struct lvif_options const options = {
	        .queues = 1,
	        .ring_bytes = ring_kib * 1024,
	        .features = LVIF_F_ALL,
	        .mode = LVIF_MODE_DEDICATED,
	        .never_shared = true,
	        .program = "librettos_lvif " LIBRETTOS_VERSION,
	};
	int result = lvif_domain_open(&interface->domain, interface->xenbus, domain_changed);

	if (result != 0)
		return result;
	lvif_domain_environment(&interface->domain, &interface->environment);
	interface->environment.quiesce = quiesce;
	result = lvif_open(interface->device, &interface->environment, &options);
	interface->connections = 0;
	interface->messages = 0;
	interface->why_told = true;
	return result;
}

static unsigned long delay_until(struct lvif_interface const *interface, uint64_t when_us)
{
	uint64_t const now_us = interface->environment.now_us(interface->environment.context);

	if (when_us == UINT64_MAX)
		return MAX_JIFFY_OFFSET;
	return when_us > now_us ? usecs_to_jiffies((unsigned)min_t(uint64_t, when_us - now_us, 1000000u)) : 0;
}

/* A domain that was restored may not write to the store for the device before the server has made it there. */
static void try_to_resume(struct lvif_interface *interface)
{
	struct xenbus_device const *const xenbus = interface->xenbus;
	int result;

	if (!xenbus_exists(XBT_NIL, xenbus->nodename, LVIF_KEY_BACKEND)) {
		say(interface, "no server has attached this domain since it was saved", "");
		return;
	}
	result = open_device(interface);
	interface->open = result == 0;
	interface->resuming = false;
	if (result != 0)
		dev_err(&xenbus->dev, "opening the device again: error %d; unbind and bind it to try once more\n",
		        result);
}

/* Jiffies until the next look. */
static unsigned long look(struct lvif_interface *interface)
{
	unsigned long delay = MAX_JIFFY_OFFSET;

	if (interface->resuming)
		try_to_resume(interface);
	if (interface->open) {
		delay = delay_until(interface, follow(interface));
		delay = min(delay, announce(interface));
		if (interface->connected && !lvif_server_alive(interface->device)) {
			netif_trans_update(interface->netdev); /* nobody is to blame for a queue that is stopped */
			delay = min_t(unsigned long, delay, LOOK_AGAIN);
		}
		if (!interface->why_told)
			delay = min_t(unsigned long, delay, TELL_AFTER);
	} else if (interface->resuming) {
		delay = LOOK_AGAIN;
	}
	return delay;
}

void lvif_follow_work(struct work_struct *work)
{
	struct lvif_interface *const interface = container_of(to_delayed_work(work), struct lvif_interface, control);
	unsigned long delay;

	mutex_lock(&interface->control_lock);
	delay = look(interface);
	if (delay != MAX_JIFFY_OFFSET)
		queue_delayed_work(interface->workqueue, &interface->control, delay);
	mutex_unlock(&interface->control_lock);
}

int lvif_follow_start(struct lvif_interface *interface)
{
	int result = 0;

	mutex_lock(&interface->control_lock);
	if (!interface->open)
		result = open_device(interface);
	if (result != 0)
		lvif_domain_close(&interface->domain);
	interface->open = result == 0;
	mutex_unlock(&interface->control_lock);
	if (result == 0)
		lvif_follow_wake(interface);
	else
		cancel_delayed_work_sync(&interface->control);
	return result;
}

void lvif_follow_resume(struct lvif_interface *interface)
{
	mutex_lock(&interface->control_lock);
	interface->resuming = !interface->open;
	mutex_unlock(&interface->control_lock);
	lvif_follow_wake(interface);
}

void lvif_follow_stop(struct lvif_interface *interface)
{
	mutex_lock(&interface->control_lock);
	interface->resuming = false;
	if (interface->open) {
		interface->open = false;
		if (interface->connected)
			retire(interface);
		lvif_close(interface->device);
	}
	lvif_domain_close(&interface->domain);
	mutex_unlock(&interface->control_lock);
	cancel_delayed_work_sync(&interface->control);
}
