/* SPDX-License-Identifier: BSD-2-Clause */
/* The environment's store. Watches of ours have a queue of their own; their token is their path. What a guest may not see is not
 * there for it: xenstored says EACCES for both. */
#include "environment.h"

#include <string.h>

static struct lvif_minios *owner_of(struct xenbus_event_queue *queue)
{
	return (struct lvif_minios *)(void *)((char *)queue - offsetof(struct lvif_minios, watches));
}

/* On xenbus' thread, under its lock. */
static void watch_fired(struct xenbus_event_queue *queue)
{
	lvif_sleeper_wake(owner_of(queue)->control);
}

void lvif_minios_store_open(struct lvif_minios *minios)
{
	xenbus_event_queue_init(&minios->watches);
	minios->watches.wakeup = watch_fired;
}

/* Takes the error's text. */
static int error_of(char *text)
{
	int result = LVIF_EIO;

	if (text == NULL)
		return 0;
	if (strcmp(text, "ENOENT") == 0 || strcmp(text, "EACCES") == 0)
		result = LVIF_ENOENT;
	xenbus_free(text);
	return result;
}

int lvif_minios_store_read(void *context, char const *path, char *value, size_t size)
{
	char *text = NULL;
	int const error = error_of(xenbus_read(XBT_NIL, path, &text));
	size_t length;

	(void)context;
	if (error != 0)
		return error;
	length = strlen(text);
	if (length < size)
		memcpy(value, text, length + 1);
	xenbus_free(text);
	return length < size ? (int)length : LVIF_EMSGSIZE;
}

int lvif_minios_store_write(void *context, char const *path, char const *value)
{
	(void)context;
	return error_of(xenbus_write(XBT_NIL, path, value));
}

int lvif_minios_store_watch(void *context, char const *path)
{
	struct lvif_minios *const minios = context;

	return error_of(xenbus_watch_path_token(XBT_NIL, path, path, &minios->watches));
}

void lvif_minios_store_unwatch(void *context, char const *path)
{
	(void)context;
	(void)error_of(xenbus_unwatch_path_token(XBT_NIL, path, path));
}

/* There is one, so that this does not wait. */
void lvif_minios_take_watches(struct lvif_minios *minios)
{
	while (!MINIOS_STAILQ_EMPTY(&minios->watches.events))
		xenbus_wait_for_watch(&minios->watches);
}
