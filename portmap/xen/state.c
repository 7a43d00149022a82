/* SPDX-License-Identifier: GPL-2.0-only */
/* The portmap's authority: operations. */
#include "ports.h"

#include <errno.h>
#include <string.h>

#define PROTOCOL_TCP 6
#define PROTOCOL_UDP 17

static bool is_protocol(uint8_t protocol)
{
    return protocol == PROTOCOL_TCP || protocol == PROTOCOL_UDP;
}

static bool is_protocol_or_both(uint8_t protocol)
{
    return protocol == LVIF_PORT_TCP_AND_UDP || is_protocol(protocol);
}

static bool is_range(uint32_t first, uint32_t count)
{
    return first >= 1 && count >= 1 && first < LVIF_PORTS &&
           count <= LVIF_PORTS - first;
}

static uint32_t base_of(uint8_t protocol)
{
    return protocol == PROTOCOL_UDP ? LVIF_PORTS : 0;
}

/* Bases of the protocols that `protocol` means: from .. to, by LVIF_PORTS. */
static uint32_t last_base_of(uint8_t protocol)
{
    return protocol == PROTOCOL_TCP ? 0 : LVIF_PORTS;
}

static uint16_t living(const struct portmap_state *state, uint16_t domain)
{
    uint16_t owner = state->owner_of_domain[domain];

    if ( owner == PORTMAP_NO_OWNER ||
         state->owners[owner].state != PORTMAP_OWNER_LIVING )
        return PORTMAP_NO_OWNER;
    return owner;
}

static bool is_own(const struct portmap_state *state, uint16_t owner,
                   uint32_t index)
{
    return portmap_port_state(state, index) == LVIF_PORT_BOUND &&
           state->owner[index] == owner;
}

static bool same_guest(const struct portmap_owner *a,
                       const struct portmap_owner *b)
{
    static const uint8_t no_uuid[LVIF_PORTMAP_UUID_BYTES];

    if ( memcmp(a->uuid, b->uuid, sizeof(a->uuid)) == 0 &&
         memcmp(a->uuid, no_uuid, sizeof(no_uuid)) != 0 )
        return true;
    return a->name[0] != 0 && memcmp(a->name, b->name, sizeof(a->name)) == 0;
}

static bool may_claim(const struct portmap_state *state, uint16_t owner,
                      uint32_t index)
{
    switch ( portmap_port_state(state, index) )
    {
    case LVIF_PORT_FREE:
        return true;
    case LVIF_PORT_QUARANTINED:
        return same_guest(&state->owners[state->owner[index]],
                          &state->owners[owner]);
    default:
        return false;
    }
}

int portmap_bind(struct portmap_state *state, uint16_t domain, uint8_t protocol,
                 uint16_t port, uint64_t now_ms, uint16_t *bound)
{
    uint16_t owner = living(state, domain);
    uint32_t index = base_of(protocol) + port;
    const struct portmap_owner *its;

    if ( !is_protocol(protocol) )
        return -EINVAL;
    if ( owner == PORTMAP_NO_OWNER )
        return -ENOENT;
    its = &state->owners[owner];
    if ( port != 0 && is_own(state, owner, index) )
    {
        *bound = port;
        return 0;
    }
    if ( port != 0 && !may_claim(state, owner, index) )
        return -EADDRINUSE;
    if ( its->ports >= its->limit )
        return -EDQUOT;
    if ( port == 0 )
        index = portmap_draw(state, index);
    if ( index == PORTMAP_NONE )
        return -EADDRINUSE;
    portmap_claim(state, owner, index, 0, now_ms);
    *bound = (uint16_t)(index % LVIF_PORTS);
    return 0;
}

int portmap_lease(struct portmap_state *state, uint16_t domain,
                  uint8_t protocol, uint32_t count, uint64_t now_ms,
                  uint16_t *first)
{
    uint16_t owner = living(state, domain);
    const struct portmap_owner *its;
    uint32_t cost = protocol == LVIF_PORT_TCP_AND_UDP ? 2 * count : count;
    uint32_t block, base, i;

    if ( !is_protocol_or_both(protocol) || count == 0 || count >= LVIF_PORTS )
        return -EINVAL;
    if ( owner == PORTMAP_NO_OWNER )
        return -ENOENT;
    its = &state->owners[owner];
    if ( its->ports > its->limit || cost > its->limit - its->ports )
        return -EDQUOT;
    block = portmap_find_block(state, protocol, count);
    if ( block == PORTMAP_NONE )
        return -EADDRINUSE;
    for ( base = base_of(protocol); base <= last_base_of(protocol);
          base += LVIF_PORTS )
        for ( i = 0; i < count; i++ )
            portmap_claim(state, owner, base + block + i, LVIF_PORT_LEASED,
                          now_ms);
    *first = (uint16_t)block;
    return 0;
}

int portmap_release(struct portmap_state *state, uint16_t domain,
                    uint8_t protocol, uint32_t first, uint32_t count,
                    uint64_t now_ms)
{
    uint16_t owner = living(state, domain);
    uint32_t base, i;

    if ( !is_protocol_or_both(protocol) || !is_range(first, count) )
        return -EINVAL;
    if ( owner == PORTMAP_NO_OWNER )
        return -ENOENT;
    for ( base = base_of(protocol); base <= last_base_of(protocol);
          base += LVIF_PORTS )
        for ( i = 0; i < count; i++ )
            if ( !is_own(state, owner, base + first + i) )
                return -EPERM;
    for ( base = base_of(protocol); base <= last_base_of(protocol);
          base += LVIF_PORTS )
        for ( i = 0; i < count; i++ )
            portmap_free_port(state, base + first + i, now_ms);
    return 0;
}

int portmap_release_all(struct portmap_state *state, uint16_t domain,
                        uint64_t now_ms, uint32_t budget)
{
    uint16_t owner = living(state, domain);

    if ( owner == PORTMAP_NO_OWNER )
        return -ENOENT;
    while ( state->owners[owner].first != PORTMAP_NONE )
    {
        if ( budget-- == 0 )
            return 1;
        portmap_free_port(state, state->owners[owner].first, now_ms);
    }
    return 0;
}

int portmap_set_limit(struct portmap_state *state, uint16_t domain,
                      uint32_t ports)
{
    uint16_t owner = living(state, domain);

    if ( ports > PORTMAP_INDICES )
        return -EINVAL;
    if ( owner == PORTMAP_NO_OWNER )
        return -ENOENT;
    state->owners[owner].limit = ports;
    return 0;
}

int portmap_reserve(struct portmap_state *state, uint8_t protocol,
                    uint32_t first, uint32_t count, bool reserve,
                    uint64_t now_ms)
{
    uint32_t begin = base_of(protocol) + first;
    uint32_t index;

    if ( !is_protocol(protocol) || !is_range(first, count) )
        return -EINVAL;
    for ( index = begin; reserve && index < begin + count; index++ )
        if ( portmap_port_state(state, index) == LVIF_PORT_BOUND )
            return -EADDRINUSE;
    for ( index = begin; index < begin + count; index++ )
    {
        bool reserved = portmap_port_state(state, index) == LVIF_PORT_RESERVED;

        if ( reserve && !reserved )
        {
            portmap_take_from_owner(state, index);
            portmap_take_free(state, index);
            portmap_set_word(state, index,
                             lvif_port_entry(LVIF_PORT_RESERVED, 0, 0), now_ms);
        }
        else if ( !reserve && reserved )
        {
            portmap_add_free(state, index);
            portmap_set_word(state, index,
                             lvif_port_entry(LVIF_PORT_FREE, 0, 0), now_ms);
        }
    }
    return 0;
}

int portmap_query(const struct portmap_state *state, uint64_t now_ms,
                  struct lvif_portmap_query *query)
{
    uint32_t index = base_of(query->protocol) + query->port;
    uint32_t now_s = (uint32_t)(now_ms / 1000);
    enum lvif_port_state port_state;
    const struct portmap_owner *its;

    if ( !is_protocol(query->protocol) || query->port == 0 )
        return -EINVAL;
    port_state = portmap_port_state(state, index);
    memset(&query->entry, 0,
           sizeof(*query) - offsetof(struct lvif_portmap_query, entry));
    query->entry = portmap_word(state, index);
    if ( state->since_s[index] < now_s )
        query->age_s = now_s - state->since_s[index];
    if ( port_state != LVIF_PORT_BOUND && port_state != LVIF_PORT_QUARANTINED )
        return 0;
    its = &state->owners[state->owner[index]];
    query->owner_ports = its->ports;
    query->owner_limit = its->limit;
    memcpy(query->owner_uuid, its->uuid, sizeof(its->uuid));
    memcpy(query->owner_name, its->name, sizeof(its->name));
    if ( its->state == PORTMAP_OWNER_QUARANTINED &&
         portmap_quarantine_end(state, its) > now_ms )
        query->quarantine_left_s =
            (uint32_t)((portmap_quarantine_end(state, its) - now_ms + 999) /
                       1000);
    return 0;
}
