/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The driver of xenbus devices of class lvif.
 *
 * xenbus finds the device and tells when it goes; the handshake, and what is in the store, is the frontend library's business. So
 * xenbus' own idea of the state is one that it neither waits for when the module is loaded nor closes when the domain ends.
 */
#include <linux/module.h>
#include <linux/pm.h>
#include <xen/xen.h>
#include <xen/xenbus.h>

#include "interface.h"

#define STATE_OF_ITS_OWN XenbusStateReconfigured

static int probe(struct xenbus_device *xenbus, struct xenbus_device_id const *id)
{
	struct lvif_interface *interface;
	int result;

	(void)id;
	interface = lvif_interface_create(xenbus);
	if (interface == NULL)
		return -ENOMEM;
	dev_set_drvdata(&xenbus->dev, interface);
	result = lvif_follow_start(interface);
	if (result != 0) {
		dev_err(&xenbus->dev, "opening the device: error %d (is ring_kib a power of two from 64 to 16384?)\n",
		        result);
		lvif_interface_free(interface);
		return result;
	}
	xenbus->state = STATE_OF_ITS_OWN;
	return 0;
}

static void remove(struct xenbus_device *xenbus)
{
	struct lvif_interface *const interface = dev_get_drvdata(&xenbus->dev);

	lvif_follow_stop(interface);
	lvif_interface_free(interface);
}

/*
 * Saved, migrated or hibernated, the domain loses its grants and channels: the device is left in order before and opened anew after.
 * xenbus has a `resume` for a domain that did go, and nothing for one that stayed (`xl save -c`, a migration that failed);
 * `complete` is called for both.
 */
static int suspend(struct xenbus_device *xenbus)
{
	lvif_follow_stop(dev_get_drvdata(&xenbus->dev));
	return 0;
}

static void complete_resume(struct device *device)
{
	to_xenbus_device(device)->state = STATE_OF_ITS_OWN;
	lvif_follow_resume(dev_get_drvdata(device));
}

static struct dev_pm_ops const power = {.complete = complete_resume};

static void server_changed(struct xenbus_device *xenbus, enum xenbus_state state)
{
	(void)state;
	lvif_follow_wake(dev_get_drvdata(&xenbus->dev));
}

static struct xenbus_device_id const ids[] = {{LVIF_DEVICE_CLASS}, {""}};

static struct xenbus_driver driver = {
        .name = KBUILD_MODNAME,
        .ids = ids,
        .allow_rebind = true,
        .not_essential = true,
        .probe = probe,
        .remove = remove,
        .suspend = suspend,
        .otherend_changed = server_changed,
        .driver.pm = &power,
};

static int __init start(void)
{
	return xen_domain() ? xenbus_register_frontend(&driver) : -ENODEV;
}

static void __exit stop(void)
{
	xenbus_unregister_driver(&driver);
}

module_init(start);
module_exit(stop);

MODULE_DESCRIPTION("Network interface of a guest of librettos-netserver");
MODULE_AUTHOR("librettos-netserver");
MODULE_VERSION(LIBRETTOS_VERSION);
MODULE_LICENSE("Dual BSD/GPL");
MODULE_ALIAS("xen:" LVIF_DEVICE_CLASS);
