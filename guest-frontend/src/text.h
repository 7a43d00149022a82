/* SPDX-License-Identifier: BSD-2-Clause */
/* Strict text, in and out, for the store: no sign, no blank, no leading zero, nothing left over. */
#ifndef LVIF_TEXT_H
#define LVIF_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(hidden)

/* The whole of `text` as a number from 0 to `limit`. */
bool lvif_parse_number(char const *text, uint32_t limit, uint32_t *number);
bool lvif_text_equal(char const *left, char const *right);

/* Each parses the whole of `text`; *result is written on success only. Addresses in network byte order. */
bool lvif_parse_mac(char const *text, uint8_t mac[6]);
bool lvif_parse_ipv4(char const *text, uint8_t address[4]);
bool lvif_parse_ipv6(char const *text, uint8_t address[16]);
/* "address/prefix", prefix from 1. */
bool lvif_parse_ipv4_prefix(char const *text, uint8_t address[4], uint8_t *prefix);
bool lvif_parse_ipv6_prefix(char const *text, uint8_t address[16], uint8_t *prefix);

/* Appends to a NUL-terminated text in a buffer; false, and the text as it was, when it does not fit. */
struct lvif_text {
	char *bytes;
	size_t size;
	size_t length;
};
struct lvif_text lvif_text_begin(char *bytes, size_t size);
bool lvif_text_append(struct lvif_text *text, char const *more);
bool lvif_text_append_number(struct lvif_text *text, uint32_t number);
/* Copies what fits, printable ASCII only ('?' else). `from` need not be terminated within `from_size`. */
void lvif_text_copy_printable(char *to, size_t to_size, char const *from, size_t from_size);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif
