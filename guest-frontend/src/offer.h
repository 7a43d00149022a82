/* SPDX-License-Identifier: BSD-2-Clause */
/* The server's offer, read from the store as hostile input. */
#ifndef LVIF_OFFER_H
#define LVIF_OFFER_H

#include <librettos/frontend.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(hidden)

/* 0: *offer is complete and within bounds. LVIF_EINVAL: *wrong names the key that is not (a literal).
 * Other errors are the store's: try again. */
int lvif_offer_read(struct lvif_environment const *environment, char const *backend, struct lvif_offer *offer,
                    char const **wrong);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif
