/* SPDX-License-Identifier: BSD-2-Clause */
/* Strict numbers and bounded texts. */
#include "text.h"

bool lvif_parse_number(char const *text, uint32_t limit, uint32_t *number)
{
	uint64_t value = 0;
	size_t digits = 0;

	for (; text[digits] >= '0' && text[digits] <= '9'; digits++) {
		value = value * 10 + (uint64_t)(text[digits] - '0');
		if (value > limit)
			return false;
	}
	if (digits == 0 || text[digits] != '\0' || (digits > 1 && text[0] == '0'))
		return false;
	*number = (uint32_t)value;
	return true;
}

bool lvif_text_equal(char const *left, char const *right)
{
	while (*left != '\0' && *left == *right) {
		left++;
		right++;
	}
	return *left == *right;
}

struct lvif_text lvif_text_begin(char *bytes, size_t size)
{
	struct lvif_text const text = {.bytes = bytes, .size = size, .length = 0};

	bytes[0] = '\0';
	return text;
}

bool lvif_text_append(struct lvif_text *text, char const *more)
{
	size_t length = text->length;

	for (; *more != '\0'; more++) {
		if (length + 1 >= text->size) {
			text->bytes[text->length] = '\0';
			return false;
		}
		text->bytes[length++] = *more;
	}
	text->bytes[length] = '\0';
	text->length = length;
	return true;
}

bool lvif_text_append_number(struct lvif_text *text, uint32_t number)
{
	char digits[11];
	size_t first = sizeof(digits) - 1;

	digits[first] = '\0';
	do {
		digits[--first] = (char)('0' + number % 10);
		number /= 10;
	} while (number != 0);
	return lvif_text_append(text, &digits[first]);
}

void lvif_text_copy_printable(char *to, size_t to_size, char const *from, size_t from_size)
{
	size_t i = 0;

	for (; i < from_size && i + 1 < to_size && from[i] != '\0'; i++)
		to[i] = from[i] >= ' ' && from[i] <= '~' ? from[i] : '?';
	to[i] = '\0';
}
