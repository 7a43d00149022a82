/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads and checks the server's offer, key by key. */
#include "offer.h"

#include "store.h"

/* Longest value: an IPv6 address with its prefix. */
#define VALUE_BYTES 48u

struct reader {
	struct lvif_environment const *environment;
	char const *backend;
	char const *key; /* the one last read: what is wrong, if something is */
};

static int read_text(struct reader *reader, char const *key, char value[VALUE_BYTES])
{
	int const result = lvif_store_read(reader->environment, reader->backend, key, value, VALUE_BYTES);

	reader->key = key;
	return result;
}

static int read_number(struct reader *reader, char const *key, uint32_t least, uint32_t most, uint32_t *number)
{
	int const result = lvif_store_read_number(reader->environment, reader->backend, key, most, number);

	reader->key = key;
	if (result == 0 && *number < least)
		return LVIF_EINVAL;
	return result;
}

static int absent_is_fine(int result)
{
	return result == LVIF_ENOENT ? 0 : result;
}

static int absent_is_wrong(int result)
{
	return result == LVIF_ENOENT ? LVIF_EINVAL : result;
}

static int read_one_of(struct reader *reader, char const *key, char const *zero, char const *one, int *which)
{
	char value[VALUE_BYTES];
	int const result = absent_is_wrong(read_text(reader, key, value));

	if (result != 0)
		return result;
	*which = lvif_text_equal(value, one);
	return *which || lvif_text_equal(value, zero) ? 0 : LVIF_EINVAL;
}

static bool all_zero(uint8_t const *bytes, size_t size)
{
	uint8_t any = 0;

	for (size_t i = 0; i < size; i++)
		any |= bytes[i];
	return any == 0;
}

static int read_mac(struct reader *reader, struct lvif_offer *offer)
{
	char value[VALUE_BYTES];
	int const result = absent_is_wrong(read_text(reader, LVIF_KEY_MAC, value));

	if (result != 0)
		return result;
	if (!lvif_parse_mac(value, offer->mac) || (offer->mac[0] & 1) != 0 || all_zero(offer->mac, sizeof(offer->mac)))
		return LVIF_EINVAL;
	return 0;
}

/* Unicast, and not the "none" of all zeros. */
static bool ipv4_usable(uint8_t const address[4])
{
	return address[0] != 0 && address[0] < 224;
}

static bool ipv6_usable(uint8_t const address[16])
{
	return address[0] != 0xff && !all_zero(address, 16);
}

static int read_ipv4(struct reader *reader, struct lvif_offer *offer)
{
	char value[VALUE_BYTES];
	int result = read_text(reader, LVIF_KEY_IPV4, value);

	if (result == 0 &&
	    (!lvif_parse_ipv4_prefix(value, offer->ipv4, &offer->ipv4_prefix) || !ipv4_usable(offer->ipv4)))
		return LVIF_EINVAL;
	if (absent_is_fine(result) != 0)
		return result;
	result = read_text(reader, LVIF_KEY_GATEWAY4, value);
	if (result == 0 &&
	    (offer->ipv4_prefix == 0 || !lvif_parse_ipv4(value, offer->gateway4) || !ipv4_usable(offer->gateway4)))
		return LVIF_EINVAL;
	return absent_is_fine(result);
}

static int read_ipv6(struct reader *reader, struct lvif_offer *offer)
{
	char value[VALUE_BYTES];
	int result = read_text(reader, LVIF_KEY_IPV6, value);

	if (result == 0 &&
	    (!lvif_parse_ipv6_prefix(value, offer->ipv6, &offer->ipv6_prefix) || !ipv6_usable(offer->ipv6)))
		return LVIF_EINVAL;
	if (absent_is_fine(result) != 0)
		return result;
	result = read_text(reader, LVIF_KEY_GATEWAY6, value);
	if (result == 0 &&
	    (offer->ipv6_prefix == 0 || !lvif_parse_ipv6(value, offer->gateway6) || !ipv6_usable(offer->gateway6)))
		return LVIF_EINVAL;
	return absent_is_fine(result);
}

static int read_link(struct reader *reader, struct lvif_offer *offer)
{
	uint32_t number;
	int result = absent_is_wrong(read_number(reader, LVIF_KEY_MTU, LVIF_MIN_MTU, LVIF_MAX_MTU, &number));

	if (result != 0)
		return result;
	offer->mtu = (uint16_t)number;
	result = read_number(reader, LVIF_KEY_VLAN, 1, 4094, &number);
	if (result == 0)
		offer->vlan = (uint16_t)number;
	return absent_is_fine(result);
}

static int read_limits(struct reader *reader, struct lvif_offer *offer)
{
	uint32_t number;
	int result = absent_is_wrong(read_number(reader, LVIF_KEY_FEATURES, 0, UINT32_MAX, &number));

	if (result != 0)
		return result;
	offer->features = number & LVIF_F_ALL; /* a later server may know more */
	result = absent_is_wrong(read_number(reader, LVIF_KEY_MAX_QUEUES, 1, LVIF_MAX_QUEUES, &number));
	if (result != 0)
		return result;
	offer->max_queues = (uint16_t)number;
	result = absent_is_wrong(
	        read_number(reader, LVIF_KEY_MAX_RING_BYTES, LVIF_RING_MIN_CAPACITY, LVIF_RING_MAX_CAPACITY, &number));
	offer->max_ring_bytes = number;
	return result;
}

static int read_kind(struct reader *reader, struct lvif_offer *offer)
{
	uint32_t version;
	int which = 0;
	int result = absent_is_wrong(
	        read_number(reader, LVIF_KEY_VERSION, LVIF_HANDSHAKE_VERSION, LVIF_HANDSHAKE_VERSION, &version));

	if (result != 0)
		return result;
	result = read_one_of(reader, LVIF_KEY_MODE, "shared", "dedicated", &which);
	if (result != 0)
		return result;
	offer->mode = which ? LVIF_MODE_DEDICATED : LVIF_MODE_SHARED;
	result = read_one_of(reader, LVIF_KEY_PORT_AUTHORITY, "hypervisor", "server", &which);
	offer->port_authority_is_server = which != 0;
	if (result != 0)
		return result;
	return absent_is_fine(read_number(reader, LVIF_KEY_ATTACH_SERIAL, 1, UINT32_MAX, &offer->attach_serial));
}

int lvif_offer_read(struct lvif_environment const *environment, char const *backend, struct lvif_offer *offer,
                    char const **wrong)
{
	static int (*const parts[])(struct reader *, struct lvif_offer *) = {read_kind, read_mac,  read_ipv4,
	                                                                     read_ipv6, read_link, read_limits};
	struct reader reader = {.environment = environment, .backend = backend, .key = ""};

	__builtin_memset(offer, 0, sizeof(*offer));
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		int const result = parts[i](&reader, offer);
		if (result != 0) {
			*wrong = reader.key;
			return result;
		}
	}
	return 0;
}
