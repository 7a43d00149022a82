/* SPDX-License-Identifier: BSD-2-Clause */
/* A real PV domain that runs agent.c: made in dom0 without xl. */
#ifndef LIBRETTOS_TEST_TINY_GUEST_H
#define LIBRETTOS_TEST_TINY_GUEST_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct tiny_guest;

/* Running, with a UUID of its own. NULL: it could not be made, which is told on standard error. */
struct tiny_guest* tiny_guest_create(void);
/* Ends the domain; done on return. NULL: nothing. */
void tiny_guest_destroy(struct tiny_guest* guest);
uint16_t tiny_guest_domain(struct tiny_guest const* guest);
/* Makes the portmap hypercall as the guest: 0 or a negative errno. -ETIMEDOUT: the guest does not answer. */
int tiny_guest_call(struct tiny_guest* guest, uint32_t operation, void* structure, size_t bytes);

#ifdef __cplusplus
}
#endif

#endif
