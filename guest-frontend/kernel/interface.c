/* SPDX-License-Identifier: BSD-2-Clause */
/* The net_device and its life. */
#include "interface.h"

#include <linux/etherdevice.h>
#include <linux/slab.h>
#include <xen/xenbus.h>

#define TX_TIMEOUT (5 * HZ)

static int open_interface(struct net_device *netdev)
{
	struct lvif_interface *const interface = netdev_priv(netdev);

	napi_enable(&interface->napi);
	netif_start_queue(netdev);
	lvif_receive_look(interface);
	return 0;
}

static int stop_interface(struct net_device *netdev)
{
	struct lvif_interface *const interface = netdev_priv(netdev);

	netif_tx_disable(netdev);
	napi_disable(&interface->napi);
	return 0;
}

/* What the ring agreed to, and segmentation only with checksums. */
static netdev_features_t fix_features(struct net_device *netdev, netdev_features_t features)
{
	struct lvif_interface const *const interface = netdev_priv(netdev);
	uint16_t const agreed = READ_ONCE(interface->tx_flags);

	if (!(agreed & LVIF_CSUM_PARTIAL))
		features &= ~(netdev_features_t)(NETIF_F_HW_CSUM | NETIF_F_TSO | NETIF_F_TSO6);
	if (!(agreed & LVIF_GSO_TCP4))
		features &= ~(netdev_features_t)NETIF_F_TSO;
	if (!(agreed & LVIF_GSO_TCP6))
		features &= ~(netdev_features_t)NETIF_F_TSO6;
	return features;
}

static struct net_device_ops const operations = {
        .ndo_open = open_interface,
        .ndo_stop = stop_interface,
        .ndo_start_xmit = lvif_start_xmit,
        .ndo_tx_timeout = lvif_tx_timeout,
        .ndo_get_stats64 = dev_get_tstats64,
        .ndo_fix_features = fix_features,
        .ndo_validate_addr = eth_validate_addr,
};

static void set_up(struct net_device *netdev, struct xenbus_device *xenbus)
{
	netdev_features_t const offloads = NETIF_F_SG | NETIF_F_HW_CSUM | NETIF_F_TSO | NETIF_F_TSO6;

	SET_NETDEV_DEV(netdev, &xenbus->dev);
	netdev->netdev_ops = &operations;
	netdev->ethtool_ops = &lvif_ethtool;
	netdev->sysfs_groups[0] = &lvif_attributes;
	netdev->watchdog_timeo = TX_TIMEOUT;
	netdev->min_mtu = ETH_MIN_MTU;
	netdev->hw_features = offloads;
	netdev->features = offloads | NETIF_F_RXCSUM | NETIF_F_HIGHDMA;
	netdev->vlan_features = offloads;
	netif_carrier_off(netdev);
}

struct lvif_interface *lvif_interface_create(struct xenbus_device *xenbus)
{
	struct net_device *const netdev = alloc_etherdev(sizeof(struct lvif_interface));
	struct lvif_interface *interface;

	if (netdev == NULL)
		return NULL;
	interface = netdev_priv(netdev);
	interface->netdev = netdev;
	interface->xenbus = xenbus;
	mutex_init(&interface->control_lock);
	INIT_DELAYED_WORK(&interface->control, lvif_follow_work);
	spin_lock_init(&interface->offer_lock);
	spin_lock_init(&interface->rx_lock);
	set_up(netdev, xenbus);
	netif_napi_add(netdev, &interface->napi, lvif_receive_poll);
	netdev->tstats = netdev_alloc_pcpu_stats(struct pcpu_sw_netstats);
	interface->device = kvzalloc(ALIGN(lvif_device_bytes(), 64), GFP_KERNEL);
	interface->workqueue = alloc_ordered_workqueue("lvif", 0);
	if (netdev->tstats != NULL && interface->device != NULL && interface->workqueue != NULL)
		return interface;
	lvif_interface_free(interface);
	return NULL;
}

void lvif_interface_free(struct lvif_interface *interface)
{
	if (interface->registered)
		unregister_netdev(interface->netdev);
	if (interface->workqueue != NULL)
		destroy_workqueue(interface->workqueue);
	if (interface->rx_pages.page != NULL)
		put_page(interface->rx_pages.page);
	kvfree(interface->device);
	free_percpu(interface->netdev->tstats);
	free_netdev(interface->netdev);
}
