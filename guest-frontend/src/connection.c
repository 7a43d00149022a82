/* SPDX-License-Identifier: BSD-2-Clause */
/* The resources of one connection: rings, regions, event ports, and what the store says about them. */
#include "device.h"

#define CONTROL_TO_SERVER 0u
#define CONTROL_TO_GUEST 1u
#define FIRST_RING 2u

static uint32_t power_of_two_below(uint32_t bytes)
{
	uint32_t power = LVIF_RING_MIN_CAPACITY;

	while (power <= bytes / 2)
		power *= 2;
	return power;
}

static void choose(struct lvif_device *device)
{
	struct lvif_connection *const connection = &device->connection;
	struct lvif_options const *const wanted = &device->options;
	struct lvif_offer const *const offer = &device->offer;

	__builtin_memset(connection, 0, sizeof(*connection));
	connection->queues = wanted->queues < offer->max_queues ? wanted->queues : offer->max_queues;
	connection->capacity = wanted->ring_bytes <= offer->max_ring_bytes ? wanted->ring_bytes
	                                                                   : power_of_two_below(offer->max_ring_bytes);
	connection->features = wanted->features & offer->features;
}

static int add_region(struct lvif_device *device, size_t bytes)
{
	struct lvif_connection *const connection = &device->connection;
	struct lvif_region *const region = &connection->region[connection->regions];

	region->pages = device->environment.pages_allocate(device->environment.context, bytes);
	if (region->pages == NULL)
		return LVIF_ENOMEM;
	region->bytes = bytes;
	connection->regions++;
	return 0;
}

static int allocate_rings(struct lvif_device *device)
{
	struct lvif_connection *const connection = &device->connection;
	int result = 0;

	for (unsigned i = 0; i < FIRST_RING && result == 0; i++)
		result = add_region(device, sizeof(struct lvif_control_ring));
	for (unsigned i = 0; i < 2u * connection->queues && result == 0; i++)
		result = add_region(device, lvif_ring_bytes(connection->capacity));
	if (result != 0)
		return result;

	lvif_control_create(&connection->control, connection->region[CONTROL_TO_SERVER].pages,
	                    connection->region[CONTROL_TO_GUEST].pages, 0);
	for (unsigned q = 0; q < connection->queues; q++) {
		struct lvif_ring_header *const tx = connection->region[FIRST_RING + 2 * q].pages;
		struct lvif_ring_header *const rx = connection->region[FIRST_RING + 2 * q + 1].pages;

		lvif_ring_create(tx, connection->capacity, connection->features, 0);
		lvif_ring_create(rx, connection->capacity, connection->features, 0);
		lvif_producer_start(&device->queues[q].tx, tx, connection->capacity,
		                    lvif_tx_flags(connection->features), 0);
		lvif_consumer_start(&device->queues[q].rx, rx, connection->capacity,
		                    lvif_rx_flags(connection->features), 0);
	}
	return 0;
}

static int share_regions(struct lvif_device *device)
{
	struct lvif_environment const *const environment = &device->environment;

	for (unsigned i = 0; i < device->connection.regions; i++) {
		struct lvif_region *const region = &device->connection.region[i];
		int const result = environment->share(environment->context, region->pages, region->bytes,
		                                      device->server, &region->reference);
		if (result < 0)
			return result;
		region->shared = true;
	}
	return 0;
}

static int allocate_events(struct lvif_device *device)
{
	struct lvif_environment const *const environment = &device->environment;
	struct lvif_connection *const connection = &device->connection;

	while (connection->events < 1u + connection->queues) {
		int const result = environment->event_allocate(environment->context, device->server,
		                                               &connection->event[connection->events]);
		if (result < 0)
			return result;
		connection->events++;
	}
	for (unsigned q = 0; q < connection->queues; q++)
		device->queues[q].event = connection->event[1 + q];
	return 0;
}

static int advertise_queue(struct lvif_device *device, uint32_t queue)
{
	struct lvif_environment const *const environment = &device->environment;
	struct lvif_connection const *const connection = &device->connection;
	struct lvif_region const *const rings = &connection->region[FIRST_RING + 2 * queue];
	char directory[LVIF_PATH_BYTES];
	struct lvif_text text = lvif_text_begin(directory, sizeof(directory));
	int result;

	if (!lvif_text_append(&text, device->frontend) || !lvif_text_append(&text, "/queue-") ||
	    !lvif_text_append_number(&text, queue))
		return LVIF_EINVAL;
	result = lvif_store_write_number(environment, directory, LVIF_KEY_TX_RING, rings[0].reference);
	if (result >= 0)
		result = lvif_store_write_number(environment, directory, LVIF_KEY_RX_RING, rings[1].reference);
	if (result >= 0)
		result = lvif_store_write_number(environment, directory, LVIF_KEY_EVENT, connection->event[1 + queue]);
	return result;
}

static int advertise(struct lvif_device *device)
{
	struct lvif_connection const *const connection = &device->connection;
	struct {
		char const *key;
		uint32_t number;
	} const values[] = {
	        {LVIF_KEY_QUEUES, connection->queues},
	        {LVIF_KEY_RING_BYTES, connection->capacity},
	        {LVIF_KEY_CONTROL_TO_SERVER, connection->region[CONTROL_TO_SERVER].reference},
	        {LVIF_KEY_CONTROL_TO_GUEST, connection->region[CONTROL_TO_GUEST].reference},
	        {LVIF_KEY_CONTROL_EVENT, connection->event[0]},
	};
	int result = 0;

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]) && result >= 0; i++)
		result = lvif_store_write_number(&device->environment, device->frontend, values[i].key,
		                                 values[i].number);
	for (uint32_t q = 0; q < connection->queues && result >= 0; q++)
		result = advertise_queue(device, q);
	return result < 0 ? result : 0;
}

int lvif_connection_build(struct lvif_device *device)
{
	int result;

	choose(device);
	if (lvif_quarantine_room(&device->quarantine) < FIRST_RING + 2u * device->connection.queues)
		return LVIF_EBUSY;
	result = allocate_rings(device);
	if (result == 0)
		result = share_regions(device);
	if (result == 0)
		result = allocate_events(device);
	if (result == 0)
		result = advertise(device);
	if (result != 0)
		lvif_connection_release(device);
	return result;
}

void lvif_connection_go_live(struct lvif_device *device)
{
	device->control_broken = false;
	device->hello_due = true;
	device->server_was_alive = false;
	device->link_up = false;
	device->mtu = device->offer.mtu;
	device->message_reason[0] = '\0';
	__atomic_store_n(&device->live_queues, device->connection.queues, __ATOMIC_RELEASE); /* LIVE */
}

void lvif_connection_take_queues(struct lvif_device *device)
{
	__atomic_store_n(&device->live_queues, 0, __ATOMIC_SEQ_CST); /* LIVE */
	device->link_up = false;
	if (device->environment.quiesce != NULL)
		device->environment.quiesce(device->environment.context);
}

void lvif_connection_release(struct lvif_device *device)
{
	struct lvif_environment const *const environment = &device->environment;
	struct lvif_connection *const connection = &device->connection;

	lvif_switch_abandon(device);
	lvif_connection_take_queues(device);
	lvif_ports_abandon(device);
	while (connection->events > 0)
		environment->event_free(environment->context, connection->event[--connection->events]);
	while (connection->regions > 0)
		lvif_quarantine_take(&device->quarantine, environment, &connection->region[--connection->regions]);
	connection->queues = 0;
	connection->features = 0;
}

bool lvif_connection_broken(struct lvif_device const *device)
{
	bool broken = device->control_broken;

	for (unsigned q = 0; q < device->connection.queues; q++) {
		broken |= __atomic_load_n(&device->queues[q].tx.broken, __ATOMIC_RELAXED);
		broken |= __atomic_load_n(&device->queues[q].rx.broken, __ATOMIC_RELAXED);
	}
	return broken;
}
