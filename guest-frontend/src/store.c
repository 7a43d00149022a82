/* SPDX-License-Identifier: BSD-2-Clause */
/* Keys and values of the store, through the environment. */
#include "store.h"

#define NUMBER_BYTES 11u

bool lvif_store_path(char path[LVIF_PATH_BYTES], char const *directory, char const *key)
{
	struct lvif_text text = lvif_text_begin(path, LVIF_PATH_BYTES);

	return lvif_text_append(&text, directory) && lvif_text_append(&text, "/") && lvif_text_append(&text, key);
}

int lvif_store_read(struct lvif_environment const *environment, char const *directory, char const *key, char *value,
                    size_t size)
{
	char path[LVIF_PATH_BYTES];
	int length;

	if (!lvif_store_path(path, directory, key))
		return LVIF_EINVAL;
	length = environment->store_read(environment->context, path, value, size);
	if (length == LVIF_EMSGSIZE)
		return LVIF_EINVAL;
	if (length < 0)
		return length;
	/* A NUL inside the value would end it early for us and not for others. */
	for (int i = 0; i < length; i++) {
		if (value[i] == '\0')
			return LVIF_EINVAL;
	}
	return 0;
}

int lvif_store_read_number(struct lvif_environment const *environment, char const *directory, char const *key,
                           uint32_t limit, uint32_t *number)
{
	char value[NUMBER_BYTES];
	int const result = lvif_store_read(environment, directory, key, value, sizeof(value));

	if (result < 0)
		return result;
	return lvif_parse_number(value, limit, number) ? 0 : LVIF_EINVAL;
}

int lvif_store_write(struct lvif_environment const *environment, char const *directory, char const *key,
                     char const *value)
{
	char path[LVIF_PATH_BYTES];

	if (!lvif_store_path(path, directory, key))
		return LVIF_EINVAL;
	return environment->store_write(environment->context, path, value);
}

int lvif_store_write_number(struct lvif_environment const *environment, char const *directory, char const *key,
                            uint32_t number)
{
	char value[NUMBER_BYTES];
	struct lvif_text text = lvif_text_begin(value, sizeof(value));

	lvif_text_append_number(&text, number);
	return lvif_store_write(environment, directory, key, value);
}
