/* SPDX-License-Identifier: BSD-2-Clause */
/* Addresses as the store spells them: MAC, IPv4, IPv6 (RFC 4291, section 2.2, forms 1 and 2). */
#include "text.h"

#define IPV6_GROUPS 8

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool lvif_parse_mac(char const *text, uint8_t mac[6])
{
	uint8_t bytes[6];

	for (int i = 0; i < 6; i++) {
		int const high = hex_digit(text[0]);
		int const low = high < 0 ? -1 : hex_digit(text[1]);

		if (low < 0 || text[2] != (i < 5 ? ':' : '\0'))
			return false;
		bytes[i] = (uint8_t)(high * 16 + low);
		text += 3;
	}
	__builtin_memcpy(mac, bytes, sizeof(bytes));
	return true;
}

/* A decimal number up to `limit` at *text, which is moved past it. */
static bool take_decimal(char const **text, uint32_t limit, uint8_t *number)
{
	char const *const first = *text;
	uint32_t value = 0;

	for (; **text >= '0' && **text <= '9'; (*text)++) {
		value = value * 10 + (uint32_t)(**text - '0');
		if (value > limit)
			return false;
	}
	if (*text == first || (*first == '0' && *text != first + 1))
		return false;
	*number = (uint8_t)value;
	return true;
}

static bool take_ipv4(char const **text, uint8_t address[4])
{
	for (int i = 0; i < 4; i++) {
		if (i > 0 && *(*text)++ != '.')
			return false;
		if (!take_decimal(text, 255, &address[i]))
			return false;
	}
	return true;
}

static bool take_group(char const **text, uint16_t *group)
{
	uint32_t value = 0;
	int digits = 0;

	for (; digits < 4 && hex_digit(**text) >= 0; digits++, (*text)++)
		value = value * 16 + (uint32_t)hex_digit(**text);
	*group = (uint16_t)value;
	return digits > 0 && hex_digit(**text) < 0;
}

/* Groups as written, and where among them "::" stands. */
static bool take_ipv6(char const **text, uint8_t address[16])
{
	uint16_t group[IPV6_GROUPS] = {0};
	int groups = 0;
	int gap = -1;

	if ((*text)[0] == ':' && (*text)[1] == ':') {
		gap = 0;
		*text += 2;
	}
	while (groups < IPV6_GROUPS && hex_digit(**text) >= 0) {
		if (!take_group(text, &group[groups++]))
			return false;
		if (**text != ':')
			break;
		if ((*text)[1] == ':') {
			if (gap >= 0)
				return false;
			gap = groups;
			*text += 2;
		} else if (groups < IPV6_GROUPS && hex_digit((*text)[1]) >= 0) {
			*text += 1;
		} else {
			return false;
		}
	}
	if (gap < 0 ? groups != IPV6_GROUPS : groups >= IPV6_GROUPS)
		return false;
	for (int i = 0; i < 16; i++)
		address[i] = 0;
	for (int i = 0; i < groups; i++) {
		int const at = gap < 0 || i < gap ? i : i + IPV6_GROUPS - groups;
		address[2 * at] = (uint8_t)(group[i] >> 8);
		address[2 * at + 1] = (uint8_t)group[i];
	}
	return true;
}

static bool take_prefix(char const *text, uint32_t limit, uint8_t *prefix)
{
	if (*text++ != '/')
		return false;
	return take_decimal(&text, limit, prefix) && *text == '\0' && *prefix > 0;
}

bool lvif_parse_ipv4(char const *text, uint8_t address[4])
{
	uint8_t bytes[4];

	if (!take_ipv4(&text, bytes) || *text != '\0')
		return false;
	__builtin_memcpy(address, bytes, sizeof(bytes));
	return true;
}

bool lvif_parse_ipv6(char const *text, uint8_t address[16])
{
	uint8_t bytes[16];

	if (!take_ipv6(&text, bytes) || *text != '\0')
		return false;
	__builtin_memcpy(address, bytes, sizeof(bytes));
	return true;
}

bool lvif_parse_ipv4_prefix(char const *text, uint8_t address[4], uint8_t *prefix)
{
	uint8_t bytes[4];
	uint8_t length;

	if (!take_ipv4(&text, bytes) || !take_prefix(text, 32, &length))
		return false;
	__builtin_memcpy(address, bytes, sizeof(bytes));
	*prefix = length;
	return true;
}

bool lvif_parse_ipv6_prefix(char const *text, uint8_t address[16], uint8_t *prefix)
{
	uint8_t bytes[16];
	uint8_t length;

	if (!take_ipv6(&text, bytes) || !take_prefix(text, 128, &length))
		return false;
	__builtin_memcpy(address, bytes, sizeof(bytes));
	*prefix = length;
	return true;
}
