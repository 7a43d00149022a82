/* SPDX-License-Identifier: BSD-2-Clause */
/* Opening and closing a device, its state in the store, and finding the backend. */
#include "device.h"

#define CLOSE_WAIT_US 2000000u

static bool options_sound(struct lvif_options const *options)
{
	bool terminated = false;

	for (size_t i = 0; i < sizeof(options->program); i++)
		terminated |= options->program[i] == '\0';
	return terminated && options->queues <= LVIF_MAX_QUEUES && (options->features & ~LVIF_F_ALL) == 0 &&
	       (options->mode == LVIF_MODE_SHARED || options->mode == LVIF_MODE_DEDICATED) &&
	       (options->ring_bytes == 0 ||
	        (options->ring_bytes >= LVIF_RING_MIN_CAPACITY && options->ring_bytes <= LVIF_RING_MAX_CAPACITY &&
	         (options->ring_bytes & (options->ring_bytes - 1)) == 0));
}

static bool environment_complete(struct lvif_environment const *environment)
{
	return environment->pages_allocate != NULL && environment->pages_free != NULL && environment->share != NULL &&
	       environment->unshare != NULL && environment->event_allocate != NULL && environment->event_free != NULL &&
	       environment->event_notify != NULL && environment->store_read != NULL &&
	       environment->store_write != NULL && environment->store_watch != NULL &&
	       environment->store_unwatch != NULL && environment->now_us != NULL && environment->yield != NULL;
}

static void frontend_path(struct lvif_device *device)
{
	struct lvif_text text = lvif_text_begin(device->frontend, sizeof(device->frontend));

	lvif_text_append(&text, "/local/domain/");
	lvif_text_append_number(&text, device->environment.self);
	lvif_text_append(&text, "/device/" LVIF_DEVICE_CLASS "/");
	lvif_text_append_number(&text, device->options.device);
}

static void unwatch(struct lvif_device *device, char const *directory, char const *key)
{
	char path[LVIF_PATH_BYTES];

	if (lvif_store_path(path, directory, key))
		device->environment.store_unwatch(device->environment.context, path);
}

static int watch(struct lvif_device *device, char const *directory, char const *key)
{
	char path[LVIF_PATH_BYTES];

	if (!lvif_store_path(path, directory, key))
		return LVIF_EINVAL;
	return device->environment.store_watch(device->environment.context, path);
}

int lvif_open(struct lvif_device *memory, struct lvif_environment const *environment,
              struct lvif_options const *options)
{
	struct lvif_device *const device = memory;
	int result;

	if (!environment_complete(environment) || !options_sound(options))
		return LVIF_EINVAL;
	__builtin_memset(device, 0, sizeof(*device));
	device->environment = *environment;
	device->options = *options;
	if (device->options.queues == 0)
		device->options.queues = 1;
	if (device->options.ring_bytes == 0)
		device->options.ring_bytes = LVIF_RING_DEFAULT_CAPACITY;
	device->phase = LVIF_PHASE_WAITING;
	frontend_path(device);

	result = watch(device, device->frontend, LVIF_KEY_BACKEND);
	if (result < 0)
		goto closed;
	result = watch(device, device->frontend, LVIF_KEY_BACKEND_ID);
	if (result < 0)
		goto unwatch_backend;
	result = lvif_store_write(environment, device->frontend, LVIF_KEY_REQUEST_MODE,
	                          options->mode == LVIF_MODE_DEDICATED ? "dedicated" : "shared");
	if (result < 0)
		goto unwatch_both;
	if (lvif_state_set(device, LVIF_STATE_INITIALISING))
		return 0;
	result = LVIF_EIO;

unwatch_both:
	unwatch(device, device->frontend, LVIF_KEY_BACKEND_ID);
unwatch_backend:
	unwatch(device, device->frontend, LVIF_KEY_BACKEND);
closed:
	device->phase = LVIF_PHASE_CLOSED;
	return result;
}

/* Bounded by the clock: the server may be dead, and the guest wants to leave. */
static void wait_for_server(struct lvif_device *device, bool was_connected)
{
	struct lvif_environment const *const environment = &device->environment;
	uint64_t const deadline_us = environment->now_us(environment->context) + CLOSE_WAIT_US;

	for (;;) {
		bool const written = lvif_state_flush(device);
		int const server = was_connected ? lvif_backend_state(device) : LVIF_STATE_CLOSED;

		if (written && (server == LVIF_STATE_CLOSED || server == LVIF_ENOENT)) {
			if (device->connection.regions > 0)
				lvif_connection_release(device);
			lvif_quarantine_retry(&device->quarantine, environment);
			if (device->quarantine.count == 0)
				return;
		}
		if (environment->now_us(environment->context) >= deadline_us)
			return;
		environment->yield(environment->context);
	}
}

void lvif_close(struct lvif_device *device)
{
	bool const connected = device->phase == LVIF_PHASE_CONNECTED || device->phase == LVIF_PHASE_CONNECTING;

	if (device->phase == LVIF_PHASE_CLOSED)
		return;
	lvif_connection_take_queues(device);
	(void)lvif_state_set(device, LVIF_STATE_CLOSING);
	wait_for_server(device, connected);
	lvif_connection_release(device);
	(void)lvif_state_set(device, LVIF_STATE_CLOSED);
	lvif_backend_forget(device);
	unwatch(device, device->frontend, LVIF_KEY_BACKEND_ID);
	unwatch(device, device->frontend, LVIF_KEY_BACKEND);
	device->phase = LVIF_PHASE_CLOSED;
}

bool lvif_state_set(struct lvif_device *device, enum lvif_state state)
{
	device->state = state;
	device->state_written = false;
	return lvif_state_flush(device);
}

bool lvif_state_flush(struct lvif_device *device)
{
	if (!device->state_written)
		device->state_written = lvif_store_write_number(&device->environment, device->frontend, LVIF_KEY_STATE,
		                                                (uint32_t)device->state) >= 0;
	return device->state_written;
}

int lvif_backend_state(struct lvif_device *device)
{
	uint32_t state;
	int const result = lvif_store_read_number(&device->environment, device->backend, LVIF_KEY_STATE,
	                                          LVIF_STATE_CLOSED, &state);

	if (result == LVIF_EINVAL)
		return LVIF_STATE_UNKNOWN;
	return result < 0 ? result : (int)state;
}

static void backend_path(struct lvif_device const *device, uint32_t server, char path[LVIF_PATH_BYTES])
{
	struct lvif_text text = lvif_text_begin(path, LVIF_PATH_BYTES);

	lvif_text_append(&text, "/local/domain/");
	lvif_text_append_number(&text, server);
	lvif_text_append(&text, "/backend/" LVIF_DEVICE_CLASS "/");
	lvif_text_append_number(&text, device->environment.self);
	lvif_text_append(&text, "/");
	lvif_text_append_number(&text, device->options.device);
}

void lvif_backend_forget(struct lvif_device *device)
{
	if (device->backend[0] != '\0')
		device->environment.store_unwatch(device->environment.context, device->backend);
	device->backend[0] = '\0';
}

int lvif_backend_find(struct lvif_device *device)
{
	struct lvif_environment const *const environment = &device->environment;
	char expected[LVIF_PATH_BYTES];
	char found[LVIF_PATH_BYTES];
	uint32_t server;
	int result = lvif_store_read_number(environment, device->frontend, LVIF_KEY_BACKEND_ID, UINT16_MAX, &server);

	if (result == 0)
		result = lvif_store_read(environment, device->frontend, LVIF_KEY_BACKEND, found, sizeof(found));
	if (result != 0)
		return result;
	backend_path(device, server, expected);
	if (!lvif_text_equal(found, expected))
		return LVIF_EINVAL;
	if (lvif_text_equal(found, device->backend))
		return 0;
	lvif_backend_forget(device);
	result = environment->store_watch(environment->context, found);
	if (result < 0)
		return result;
	__builtin_memcpy(device->backend, found, sizeof(found));
	device->server = (uint16_t)server;
	return 0;
}

bool lvif_backend_moved(struct lvif_device *device)
{
	char found[LVIF_PATH_BYTES];

	return lvif_store_read(&device->environment, device->frontend, LVIF_KEY_BACKEND, found, sizeof(found)) == 0 &&
	       !lvif_text_equal(found, device->backend);
}
