/* SPDX-License-Identifier: GPL-2.0-only */
/* The portmap's authority: single ports and the choice of free ones. */
#include "ports.h"

#define PROTOCOL_TCP 6
#define PROTOCOL_UDP 17
/* A draw fails with less than 1/2. */
#define DRAWS_MAX 64

void portmap_set_word(struct portmap_state *state, uint32_t index,
                      uint32_t word, uint64_t now_ms)
{
    uint32_t port = index % LVIF_PORTS;
    uint32_t *entry = index < LVIF_PORTS ? &state->table->tcp[port]
                                         : &state->table->udp[port];
    uint64_t *taken = &state->taken[index / LVIF_PORTS][port / 64];
    uint64_t bit = 1ULL << (port % 64);

    state->since_s[index] = (uint32_t)(now_ms / 1000);
    if ( (word & LVIF_PORT_STATE_MASK) != 0 )
        *taken |= bit;
    else
        *taken &= ~bit;
    /* Read by the server's data threads: drivers/hypervisor, read_port(). */
    __atomic_store_n(entry, word, __ATOMIC_RELAXED);
}

static bool is_ephemeral(const struct portmap_state *state, uint32_t index)
{
    uint32_t port = index % LVIF_PORTS;

    return port >= state->settings.ephemeral_first &&
           port <= state->settings.ephemeral_last;
}

static struct portmap_free *free_of(struct portmap_state *state, uint32_t index)
{
    bool upper = index % LVIF_PORTS >= state->middle;

    return &state->free[index / LVIF_PORTS][upper];
}

void portmap_add_free(struct portmap_state *state, uint32_t index)
{
    struct portmap_free *set = free_of(state, index);

    if ( !is_ephemeral(state, index) )
        return;
    state->position[index] = (uint16_t)set->count;
    set->ports[set->count++] = (uint16_t)(index % LVIF_PORTS);
}

void portmap_take_free(struct portmap_state *state, uint32_t index)
{
    struct portmap_free *set = free_of(state, index);
    uint32_t base = index - index % LVIF_PORTS;
    uint16_t last;

    if ( !is_ephemeral(state, index) )
        return;
    last = set->ports[--set->count];
    set->ports[state->position[index]] = last;
    state->position[base + last] = state->position[index];
}

static void link(struct portmap_state *state, uint16_t owner, uint32_t index)
{
    struct portmap_owner *its = &state->owners[owner];

    state->owner[index] = owner;
    state->next[index] = its->first;
    state->previous[index] = PORTMAP_NONE;
    if ( its->first != PORTMAP_NONE )
        state->previous[its->first] = index;
    its->first = index;
    its->ports++;
}

static void unlink(struct portmap_state *state, uint32_t index)
{
    struct portmap_owner *its = &state->owners[state->owner[index]];
    uint32_t next = state->next[index];
    uint32_t previous = state->previous[index];

    if ( previous != PORTMAP_NONE )
        state->next[previous] = next;
    else
        its->first = next;
    if ( next != PORTMAP_NONE )
        state->previous[next] = previous;
    if ( its->state == PORTMAP_OWNER_LEAVING && its->sweep == index )
        its->sweep = next;
    its->ports--;
}

void portmap_take_from_owner(struct portmap_state *state, uint32_t index)
{
    uint16_t owner = state->owner[index];
    bool quarantined = false;

    switch ( portmap_port_state(state, index) )
    {
    case LVIF_PORT_QUARANTINED:
        quarantined = true;
        break;
    case LVIF_PORT_BOUND:
        break;
    default:
        return;
    }
    unlink(state, index);
    if ( quarantined )
        state->quarantined--;
    else
        state->bound--;
    portmap_add_free(state, index);
    if ( state->owners[owner].state == PORTMAP_OWNER_QUARANTINED &&
         state->owners[owner].ports == 0 )
        portmap_forget_owner(state, owner);
}

void portmap_claim(struct portmap_state *state, uint16_t owner, uint32_t index,
                   uint32_t flags, uint64_t now_ms)
{
    uint16_t domain = state->owners[owner].domain;

    portmap_take_from_owner(state, index);
    portmap_take_free(state, index);
    link(state, owner, index);
    state->bound++;
    portmap_set_word(state, index,
                     lvif_port_entry(LVIF_PORT_BOUND, domain, flags), now_ms);
}

void portmap_free_port(struct portmap_state *state, uint32_t index,
                       uint64_t now_ms)
{
    portmap_take_from_owner(state, index);
    portmap_set_word(state, index, lvif_port_entry(LVIF_PORT_FREE, 0, 0),
                     now_ms);
}

/* Uniform below `bound`: the low part of the range that would favour some
 * results is drawn again. */
static uint32_t below(uint32_t bound)
{
    uint32_t unfair = -bound % bound;
    uint32_t drawn = 0;
    unsigned int i;

    for ( i = 0; i < DRAWS_MAX; i++ )
    {
        drawn = portmap_random32();
        if ( drawn >= unfair )
            break;
    }
    return drawn % bound;
}

uint32_t portmap_draw(struct portmap_state *state, uint32_t base)
{
    struct portmap_free *halves = state->free[base / LVIF_PORTS];
    struct portmap_free *set = halves[1].count != 0 ? &halves[1] : &halves[0];

    if ( set->count == 0 )
        return PORTMAP_NONE;
    return base + set->ports[below(set->count)];
}

static uint64_t taken_word(const struct portmap_state *state, uint8_t protocol,
                           uint32_t word)
{
    uint64_t tcp = protocol == PROTOCOL_UDP ? 0 : state->taken[0][word];
    uint64_t udp = protocol == PROTOCOL_TCP ? 0 : state->taken[1][word];

    return tcp | udp;
}

/* The last port of the block that is not free: no block that contains it can
 * do. PORTMAP_NONE: all are free. */
static uint32_t last_taken(const struct portmap_state *state, uint8_t protocol,
                           uint32_t first, uint32_t count)
{
    uint32_t last = first + count - 1;
    uint32_t word;

    for ( word = last / 64 + 1; word-- > first / 64; )
    {
        uint64_t bits = taken_word(state, protocol, word);

        if ( word == last / 64 )
            bits &= ~0ULL >> (63 - last % 64);
        if ( word == first / 64 )
            bits &= ~0ULL << (first % 64);
        if ( bits != 0 )
            return word * 64 + 63 - (uint32_t)__builtin_clzll(bits);
    }
    return PORTMAP_NONE;
}

/* First an aligned block, from a random one on, lower half first, so that
 * blocks of one size leave no gaps between them; then any. */
uint32_t portmap_find_block(struct portmap_state *state, uint8_t protocol,
                            uint32_t count)
{
    uint32_t first = state->settings.ephemeral_first;
    uint32_t end = state->settings.ephemeral_last + 1U;
    uint32_t range = end - first;
    uint32_t slots, lower, start, i, at, taken;

    if ( count > range )
        return PORTMAP_NONE;
    slots = range / count;
    lower = (state->middle - first) / count;
    if ( lower == 0 )
        lower = 1;
    start = below(lower);
    for ( i = 0; i < slots; i++ )
    {
        uint32_t slot = i < lower ? (start + i) % lower : i;

        at = first + slot * count;
        if ( last_taken(state, protocol, at, count) == PORTMAP_NONE )
            return at;
    }
    for ( at = first; at + count <= end; at = taken + 1 )
    {
        taken = last_taken(state, protocol, at, count);
        if ( taken == PORTMAP_NONE )
            return at;
    }
    return PORTMAP_NONE;
}
