/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Random numbers that a guest cannot foretell from those that it has seen:
 * ChaCha20 (RFC 8439) whose key is replaced with every block. Xen's own
 * get_random() is a linear congruence where the processor has no RDRAND.
 *
 * Not thread-safe. It is as good as what was stirred in; stirring in something
 * that is known does no harm.
 */
#ifndef PORTMAP_RANDOM_H
#define PORTMAP_RANDOM_H

#include <stdint.h>

#define PORTMAP_SEED_WORDS 8
#define PORTMAP_CHACHA_WORDS 16

struct portmap_generator
{
    uint32_t key[PORTMAP_SEED_WORDS];
    uint32_t drawn[PORTMAP_CHACHA_WORDS]; /* the second half is handed out */
    uint32_t left;
};

/* `input`: constants, key, counter, nonce. */
void portmap_chacha20_block(const uint32_t input[PORTMAP_CHACHA_WORDS],
                            uint32_t output[PORTMAP_CHACHA_WORDS]);

/* A generator begins zeroed. */
void portmap_generator_stir(struct portmap_generator *generator,
                            const uint32_t seed[PORTMAP_SEED_WORDS]);
uint32_t portmap_generator_draw(struct portmap_generator *generator);

#endif
