/* SPDX-License-Identifier: BSD-2-Clause */
/* What ethtool shows. */
#include "interface.h"

#include <linux/ethtool.h>
#include <linux/module.h>
#include <xen/xenbus.h>

static char const names[][ETH_GSTRING_LEN] = {
        "tx_ring_full", "tx_timeouts", "rx_bad_offload", "ring_broken", "notifications", "connections",
};

static void get_drvinfo(struct net_device *netdev, struct ethtool_drvinfo *info)
{
	struct lvif_interface const *const interface = netdev_priv(netdev);

	strscpy(info->driver, KBUILD_MODNAME, sizeof(info->driver));
	strscpy(info->version, LIBRETTOS_VERSION, sizeof(info->version));
	strscpy(info->bus_info, dev_name(&interface->xenbus->dev), sizeof(info->bus_info));
}

static int get_sset_count(struct net_device *netdev, int set)
{
	(void)netdev;
	return set == ETH_SS_STATS ? ARRAY_SIZE(names) : -EOPNOTSUPP;
}

static void get_strings(struct net_device *netdev, u32 set, u8 *text)
{
	(void)netdev;
	if (set == ETH_SS_STATS)
		memcpy(text, names, sizeof(names));
}

static void get_ethtool_stats(struct net_device *netdev, struct ethtool_stats *stats, u64 *values)
{
	struct lvif_interface const *const interface = netdev_priv(netdev);
	struct lvif_statistics sum;

	(void)stats;
	lvif_statistics(interface->device, &sum);
	*values++ = sum.tx_full;
	*values++ = interface->tx_timeouts;
	*values++ = interface->rx_bad_offload;
	*values++ = sum.rx_broken;
	*values++ = sum.notifications;
	*values++ = sum.connections;
}

struct ethtool_ops const lvif_ethtool = {
        .get_drvinfo = get_drvinfo,
        .get_link = ethtool_op_get_link,
        .get_ts_info = ethtool_op_get_ts_info,
        .get_sset_count = get_sset_count,
        .get_strings = get_strings,
        .get_ethtool_stats = get_ethtool_stats,
};
