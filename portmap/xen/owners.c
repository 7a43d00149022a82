/* SPDX-License-Identifier: GPL-2.0-only */
/* The portmap's authority: owners of ports, their end, their quarantine. */
#include "ports.h"

#include <errno.h>
#include <string.h>

void portmap_init(struct portmap_state *state, struct lvif_portmap *table,
                  const struct portmap_settings *settings)
{
    uint32_t range = settings->ephemeral_last - settings->ephemeral_first + 1U;
    uint32_t i, port;

    state->table = table;
    state->settings = *settings;
    state->middle = settings->ephemeral_first + range / 2;
    state->quarantine_first = PORTMAP_NO_OWNER;
    state->quarantine_last = PORTMAP_NO_OWNER;
    state->unused = 0;
    for ( i = 0; i < PORTMAP_OWNERS; i++ )
        state->owners[i].next =
            (uint16_t)(i + 1 < PORTMAP_OWNERS ? i + 1 : PORTMAP_NO_OWNER);
    for ( i = 0; i < PORTMAP_DOMAINS; i++ )
        state->owner_of_domain[i] = PORTMAP_NO_OWNER;
    for ( i = 0; i < 2; i++ )
        for ( port = settings->ephemeral_first;
              port <= settings->ephemeral_last; port++ )
            portmap_add_free(state, i * LVIF_PORTS + port);
    table->version = LVIF_PORTMAP_VERSION;
    table->ephemeral_first = settings->ephemeral_first;
    table->ephemeral_last = settings->ephemeral_last;
    table->magic = LVIF_PORTMAP_MAGIC;
}

int portmap_add_domain(struct portmap_state *state, uint16_t domain,
                       const uint8_t uuid[LVIF_PORTMAP_UUID_BYTES])
{
    uint16_t owner = state->unused;
    struct portmap_owner *its;

    if ( state->owner_of_domain[domain] != PORTMAP_NO_OWNER )
        return 0;
    if ( owner == PORTMAP_NO_OWNER )
        return -ENOMEM;
    its = &state->owners[owner];
    state->unused = its->next;
    memset(its, 0, sizeof(*its));
    its->state = PORTMAP_OWNER_LIVING;
    its->domain = domain;
    its->first = PORTMAP_NONE;
    its->limit = state->settings.ports_per_domain;
    memcpy(its->uuid, uuid, sizeof(its->uuid));
    state->owner_of_domain[domain] = owner;
    return 0;
}

int portmap_set_name(struct portmap_state *state, uint16_t domain,
                     const char name[LVIF_PORTMAP_NAME_MAX + 1])
{
    uint16_t owner = state->owner_of_domain[domain];
    uint32_t i = 0;

    while ( i < LVIF_PORTMAP_NAME_MAX && name[i] != 0 )
        i++;
    for ( ; i <= LVIF_PORTMAP_NAME_MAX; i++ )
        if ( name[i] != 0 )
            return -EINVAL;
    if ( owner == PORTMAP_NO_OWNER )
        return -ENOENT;
    memcpy(state->owners[owner].name, name, LVIF_PORTMAP_NAME_MAX + 1);
    return 0;
}

void portmap_forget_owner(struct portmap_state *state, uint16_t owner)
{
    struct portmap_owner *its = &state->owners[owner];

    if ( its->state == PORTMAP_OWNER_QUARANTINED )
    {
        if ( its->previous != PORTMAP_NO_OWNER )
            state->owners[its->previous].next = its->next;
        else
            state->quarantine_first = its->next;
        if ( its->next != PORTMAP_NO_OWNER )
            state->owners[its->next].previous = its->previous;
        else
            state->quarantine_last = its->previous;
        state->quarantined_domains--;
    }
    its->state = PORTMAP_OWNER_UNUSED;
    its->next = state->unused;
    state->unused = owner;
}

/* To the end of the list: the quarantine that began last ends last. */
static void start_quarantine(struct portmap_state *state, uint16_t owner,
                             uint64_t now_ms)
{
    struct portmap_owner *its = &state->owners[owner];

    its->state = PORTMAP_OWNER_QUARANTINED;
    its->quarantined_since_ms = now_ms;
    its->next = PORTMAP_NO_OWNER;
    its->previous = state->quarantine_last;
    if ( its->previous != PORTMAP_NO_OWNER )
        state->owners[its->previous].next = owner;
    else
        state->quarantine_first = owner;
    state->quarantine_last = owner;
    state->quarantined_domains++;
}

bool portmap_remove_domain(struct portmap_state *state, uint16_t domain,
                           uint64_t now_ms, uint32_t budget)
{
    uint16_t owner = state->owner_of_domain[domain];
    struct portmap_owner *its;

    if ( owner == PORTMAP_NO_OWNER )
        return portmap_expire(state, now_ms, budget);
    its = &state->owners[owner];
    if ( its->state == PORTMAP_OWNER_LIVING )
    {
        its->state = PORTMAP_OWNER_LEAVING;
        its->sweep = its->first;
    }
    for ( ; its->sweep != PORTMAP_NONE; budget-- )
    {
        uint32_t index = its->sweep;

        if ( budget == 0 )
            return false;
        its->sweep = state->next[index];
        portmap_set_word(state, index,
                         lvif_port_entry(LVIF_PORT_QUARANTINED, domain, 0),
                         now_ms);
        state->bound--;
        state->quarantined++;
    }
    state->owner_of_domain[domain] = PORTMAP_NO_OWNER;
    if ( its->ports == 0 )
        portmap_forget_owner(state, owner);
    else
        start_quarantine(state, owner, now_ms);
    return portmap_expire(state, now_ms, budget);
}

static bool over_budget(const struct portmap_state *state)
{
    return state->quarantined > state->settings.quarantined_ports ||
           state->quarantined_domains > state->settings.quarantined_domains ||
           state->unused == PORTMAP_NO_OWNER;
}

bool portmap_expire(struct portmap_state *state, uint64_t now_ms,
                    uint32_t budget)
{
    while ( state->quarantine_first != PORTMAP_NO_OWNER )
    {
        struct portmap_owner *its = &state->owners[state->quarantine_first];

        /* What has begun to end goes on to, however long the budget lasts. */
        if ( over_budget(state) )
            its->ending = true;
        if ( portmap_quarantine_end(state, its) > now_ms )
            return true;
        if ( budget == 0 )
            return false;
        budget--;
        portmap_free_port(state, its->first, now_ms);
    }
    return true;
}

uint64_t portmap_next_expiry(const struct portmap_state *state)
{
    if ( state->quarantine_first == PORTMAP_NO_OWNER )
        return UINT64_MAX;
    return portmap_quarantine_end(state,
                                  &state->owners[state->quarantine_first]);
}
