/* SPDX-License-Identifier: BSD-2-Clause */
/* The environment's store. What a guest may not see is not there for it: xenstored says EACCES for both. */
#include "domain.h"

#include <linux/slab.h>
#include <xen/xenbus.h>

/*
 * Kept until the domain is closed, wanted or not: to unregister a watch is to wait for xenbus' thread, and that may be waiting
 * for the caller (it removes a device whose directory has gone). A device watches few paths in its life.
 */
struct lvif_domain_watch {
	struct list_head list;
	struct xenbus_watch watch;
	struct lvif_domain *domain;
	bool wanted;
	char path[];
};

int lvif_domain_store_read(void *context, char const *path, char *value, size_t size)
{
	unsigned length = 0;
	char *const text = xenbus_read(XBT_NIL, path, "", &length);

	(void)context;
	if (IS_ERR(text))
		return PTR_ERR(text) == -EACCES ? LVIF_ENOENT : (int)PTR_ERR(text);
	if (length < size) {
		memcpy(value, text, length);
		value[length] = '\0';
	}
	kfree(text);
	return length < size ? (int)length : LVIF_EMSGSIZE;
}

int lvif_domain_store_write(void *context, char const *path, char const *value)
{
	(void)context;
	return xenbus_write(XBT_NIL, path, "", value);
}

/* On xenbus' thread. */
static void watch_fired(struct xenbus_watch *watch, char const *path, char const *token)
{
	struct lvif_domain_watch *const ours = container_of(watch, struct lvif_domain_watch, watch);

	(void)path;
	(void)token;
	if (READ_ONCE(ours->wanted))
		ours->domain->changed(ours->domain);
}

static struct lvif_domain_watch *find(struct lvif_domain *domain, char const *path)
{
	struct lvif_domain_watch *watch;

	list_for_each_entry(watch, &domain->watches, list)
	{
		if (strcmp(watch->path, path) == 0)
			return watch;
	}
	return NULL;
}

int lvif_domain_store_watch(void *context, char const *path)
{
	struct lvif_domain *const domain = context;
	size_t const bytes = strlen(path) + 1;
	struct lvif_domain_watch *watch = find(domain, path);
	int result;

	if (watch != NULL) {
		WRITE_ONCE(watch->wanted, true);
		domain->changed(domain); /* a new watch fires, too */
		return 0;
	}
	watch = kzalloc(struct_size(watch, path, bytes), GFP_KERNEL);
	if (watch == NULL)
		return -ENOMEM;
	memcpy(watch->path, path, bytes);
	watch->domain = domain;
	watch->wanted = true;
	watch->watch.node = watch->path;
	watch->watch.callback = watch_fired;
	result = register_xenbus_watch(&watch->watch);
	if (result < 0) {
		kfree(watch);
		return result;
	}
	list_add(&watch->list, &domain->watches);
	return 0;
}

void lvif_domain_store_unwatch(void *context, char const *path)
{
	struct lvif_domain_watch *const watch = find(context, path);

	if (watch != NULL)
		WRITE_ONCE(watch->wanted, false);
}

void lvif_domain_end_watches(struct lvif_domain *domain)
{
	struct lvif_domain_watch *watch, *next;

	list_for_each_entry_safe(watch, next, &domain->watches, list)
	{
		unregister_xenbus_watch(&watch->watch);
		list_del(&watch->list);
		kfree(watch);
	}
}
