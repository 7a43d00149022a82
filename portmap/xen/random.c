/* SPDX-License-Identifier: GPL-2.0-only */
/* Random numbers from ChaCha20 with fast key erasure. */
#include "random.h"

#include <string.h>

#define DOUBLE_ROUNDS 10

static uint32_t rotate(uint32_t value, unsigned int bits)
{
    return (value << bits) | (value >> (32 - bits));
}

/* RFC 8439, 2.1 */
static void quarter_round(uint32_t *a, uint32_t *b, uint32_t *c, uint32_t *d)
{
    *a += *b;
    *d = rotate(*d ^ *a, 16);
    *c += *d;
    *b = rotate(*b ^ *c, 12);
    *a += *b;
    *d = rotate(*d ^ *a, 8);
    *c += *d;
    *b = rotate(*b ^ *c, 7);
}

/* RFC 8439, 2.3 */
void portmap_chacha20_block(const uint32_t input[PORTMAP_CHACHA_WORDS],
                            uint32_t output[PORTMAP_CHACHA_WORDS])
{
    uint32_t x[PORTMAP_CHACHA_WORDS];
    unsigned int i;

    memcpy(x, input, sizeof(x));
    for ( i = 0; i < DOUBLE_ROUNDS; i++ )
    {
        quarter_round(&x[0], &x[4], &x[8], &x[12]);
        quarter_round(&x[1], &x[5], &x[9], &x[13]);
        quarter_round(&x[2], &x[6], &x[10], &x[14]);
        quarter_round(&x[3], &x[7], &x[11], &x[15]);
        quarter_round(&x[0], &x[5], &x[10], &x[15]);
        quarter_round(&x[1], &x[6], &x[11], &x[12]);
        quarter_round(&x[2], &x[7], &x[8], &x[13]);
        quarter_round(&x[3], &x[4], &x[9], &x[14]);
    }
    for ( i = 0; i < PORTMAP_CHACHA_WORDS; i++ )
        output[i] = x[i] + input[i];
}

static void refill(struct portmap_generator *generator)
{
    uint32_t input[PORTMAP_CHACHA_WORDS] = {0x61707865, 0x3320646e, 0x79622d32,
                                            0x6b206574};

    memcpy(&input[4], generator->key, sizeof(generator->key));
    portmap_chacha20_block(input, generator->drawn);
    memcpy(generator->key, generator->drawn, sizeof(generator->key));
    memset(generator->drawn, 0, sizeof(generator->key));
    generator->left = PORTMAP_CHACHA_WORDS - PORTMAP_SEED_WORDS;
}

void portmap_generator_stir(struct portmap_generator *generator,
                            const uint32_t seed[PORTMAP_SEED_WORDS])
{
    unsigned int i;

    for ( i = 0; i < PORTMAP_SEED_WORDS; i++ )
        generator->key[i] ^= seed[i];
    refill(generator);
}

uint32_t portmap_generator_draw(struct portmap_generator *generator)
{
    uint32_t value;

    if ( generator->left == 0 )
        refill(generator);
    generator->left--;
    value = generator->drawn[PORTMAP_SEED_WORDS + generator->left];
    generator->drawn[PORTMAP_SEED_WORDS + generator->left] = 0;
    return value;
}
