/* SPDX-License-Identifier: BSD-2-Clause */
/* /sys/class/net/INTERFACE/lvif/: what the server offered, for whoever configures the interface. Empty where there is none. */
#include "interface.h"

#include <linux/device.h>

static struct lvif_interface *interface_of(struct device *device)
{
	return netdev_priv(to_net_dev(device));
}

/* A copy: the control work may write a new one. */
static struct lvif_offer offer_of(struct device *device)
{
	struct lvif_interface *const interface = interface_of(device);
	struct lvif_offer offer;

	spin_lock(&interface->offer_lock);
	offer = interface->offer;
	spin_unlock(&interface->offer_lock);
	return offer;
}

static bool is_set(void const *address, size_t bytes)
{
	return memchr_inv(address, 0, bytes) != NULL;
}

static ssize_t ipv4_show(struct device *device, struct device_attribute *attribute, char *text)
{
	struct lvif_offer const offer = offer_of(device);

	(void)attribute;
	if (!is_set(offer.ipv4, sizeof(offer.ipv4)))
		return 0;
	return sysfs_emit(text, "%pI4/%u\n", offer.ipv4, offer.ipv4_prefix);
}
static DEVICE_ATTR_RO(ipv4);

static ssize_t gateway4_show(struct device *device, struct device_attribute *attribute, char *text)
{
	struct lvif_offer const offer = offer_of(device);

	(void)attribute;
	if (!is_set(offer.gateway4, sizeof(offer.gateway4)))
		return 0;
	return sysfs_emit(text, "%pI4\n", offer.gateway4);
}
static DEVICE_ATTR_RO(gateway4);

static ssize_t ipv6_show(struct device *device, struct device_attribute *attribute, char *text)
{
	struct lvif_offer const offer = offer_of(device);

	(void)attribute;
	if (!is_set(offer.ipv6, sizeof(offer.ipv6)))
		return 0;
	return sysfs_emit(text, "%pI6c/%u\n", offer.ipv6, offer.ipv6_prefix);
}
static DEVICE_ATTR_RO(ipv6);

static ssize_t gateway6_show(struct device *device, struct device_attribute *attribute, char *text)
{
	struct lvif_offer const offer = offer_of(device);

	(void)attribute;
	if (!is_set(offer.gateway6, sizeof(offer.gateway6)))
		return 0;
	return sysfs_emit(text, "%pI6c\n", offer.gateway6);
}
static DEVICE_ATTR_RO(gateway6);

static struct attribute *attributes[] = {
        &dev_attr_ipv4.attr, &dev_attr_gateway4.attr, &dev_attr_ipv6.attr, &dev_attr_gateway6.attr, NULL,
};

struct attribute_group const lvif_attributes = {.name = LVIF_DEVICE_CLASS, .attrs = attributes};
