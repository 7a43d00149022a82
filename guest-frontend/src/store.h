/* SPDX-License-Identifier: BSD-2-Clause */
/* Keys and values of the store, through the environment. */
#ifndef LVIF_STORE_H
#define LVIF_STORE_H

#include <librettos/frontend.h>

#include "text.h"

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(hidden)

/* "/local/domain/65535/backend/lvif/65535/65535/" and the longest key */
#define LVIF_PATH_BYTES 96u

/* directory "/" key; false when it does not fit. */
bool lvif_store_path(char path[LVIF_PATH_BYTES], char const *directory, char const *key);

/* As store_read of the environment, for a key of a directory; a value that does not fit is LVIF_EINVAL. */
int lvif_store_read(struct lvif_environment const *environment, char const *directory, char const *key, char *value,
                    size_t size);
/* 0, LVIF_ENOENT, LVIF_EINVAL for what is not a number up to `limit`, other errors of the store. */
int lvif_store_read_number(struct lvif_environment const *environment, char const *directory, char const *key,
                           uint32_t limit, uint32_t *number);
int lvif_store_write(struct lvif_environment const *environment, char const *directory, char const *key,
                     char const *value);
int lvif_store_write_number(struct lvif_environment const *environment, char const *directory, char const *key,
                            uint32_t number);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif
