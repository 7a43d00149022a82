/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The portmap's authority inside the hypervisor: who owns which port.
 *
 * Pure state, nothing of Xen: tests/unit/portmap compiles it into a user
 * space program and compares it with portmap/authority.hpp, whose twin in C it
 * is. What differs is what a hypervisor needs:
 *  - no allocation: struct portmap_state is all there is, about 2.9 MiB;
 *  - work that a domain's end causes is done in portions: functions with a
 *    `budget` (of ports) return false when there is more, to be called again;
 *    between two calls any other function may be called;
 *  - a dead domain's id may be given out again at once: ports point to an
 *    owner's slot, not to a domain id.
 * The longest stretch without a look at other work is one lease, release or
 * reserve of the caller's `count` ports, which its limit bounds.
 *
 * A guest is the same guest when its UUID or its name is the same; a zero
 * UUID and an empty name are nobody's.
 *
 * Not thread-safe: the caller holds a lock. Times are milliseconds of a clock
 * that never goes back.
 */
#ifndef PORTMAP_STATE_H
#define PORTMAP_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include <librettos/portmap.h>
#include <librettos/portmap_hypercall.h>

#define PORTMAP_INDICES (2 * LVIF_PORTS) /* port, plus LVIF_PORTS for UDP */
#define PORTMAP_NONE 0xffffffffU
#define PORTMAP_OWNERS 4096U
#define PORTMAP_NO_OWNER 0xffffU
#define PORTMAP_DOMAINS 65536U
#define PORTMAP_TAKEN_WORDS (LVIF_PORTS / 64)

struct portmap_settings
{
    uint16_t ephemeral_first;
    uint16_t ephemeral_last; /* inclusive */
    uint32_t ports_per_domain;
    uint64_t quarantine_ms; /* may be changed at any time */
    /* More end the oldest quarantines. */
    uint32_t quarantined_ports;
    uint32_t quarantined_domains;
};

enum portmap_owner_state
{
    PORTMAP_OWNER_UNUSED,
    PORTMAP_OWNER_LIVING,
    PORTMAP_OWNER_LEAVING, /* its ports are on their way into quarantine */
    PORTMAP_OWNER_QUARANTINED,
};

struct portmap_owner
{
    enum portmap_owner_state state;
    uint16_t domain;
    /* UNUSED: next one. QUARANTINED: neighbours by the time when they end. */
    uint16_t next;
    uint16_t previous;
    uint32_t first; /* list of its ports */
    uint32_t sweep; /* LEAVING: the next port to quarantine */
    uint32_t ports;
    uint32_t limit;
    bool ending; /* QUARANTINED: over the budget */
    uint64_t quarantined_since_ms;
    uint8_t uuid[LVIF_PORTMAP_UUID_BYTES];
    char name[LVIF_PORTMAP_NAME_MAX + 1];
};

/* What is free of one half of the ephemeral range, of one protocol. */
struct portmap_free
{
    uint32_t count;
    uint16_t ports[LVIF_PORTS / 2];
};

struct portmap_state
{
    struct lvif_portmap *table;
    struct portmap_settings settings;
    uint32_t middle; /* first port of the ephemeral range's upper half */
    uint32_t bound;
    uint32_t quarantined;
    uint32_t quarantined_domains;
    uint16_t unused;           /* list of owners */
    uint16_t quarantine_first; /* list of owners */
    uint16_t quarantine_last;

    struct portmap_owner owners[PORTMAP_OWNERS];
    uint16_t owner_of_domain[PORTMAP_DOMAINS];

    uint32_t since_s[PORTMAP_INDICES];
    uint32_t next[PORTMAP_INDICES]; /* of the same owner */
    uint32_t previous[PORTMAP_INDICES];
    uint16_t owner[PORTMAP_INDICES];
    uint16_t position[PORTMAP_INDICES]; /* in its portmap_free */
    struct portmap_free free[2][2];     /* [protocol][half] */
    uint64_t taken[2]
                  [PORTMAP_TAKEN_WORDS]; /* a bit per port that is not free */
};

/* Uniform and unpredictable. Provided by whoever links this. */
uint32_t portmap_random32(void);

/* `state` and `table` are zero before. */
void portmap_init(struct portmap_state *state, struct lvif_portmap *table,
                  const struct portmap_settings *settings);

/* Makes the domain known; 0 also when it is. -ENOMEM: all owners are in use,
 * by living domains if portmap_expire() has nothing to do. */
int portmap_add_domain(struct portmap_state *state, uint16_t domain,
                       const uint8_t uuid[LVIF_PORTMAP_UUID_BYTES]);
int portmap_set_name(struct portmap_state *state, uint16_t domain,
                     const char name[LVIF_PORTMAP_NAME_MAX + 1]);
/* Its ports become quarantined. */
bool portmap_remove_domain(struct portmap_state *state, uint16_t domain,
                           uint64_t now_ms, uint32_t budget);

/* Frees what has been quarantined long enough, or is too much. To be called
 * until it is done before any of the operations below. */
bool portmap_expire(struct portmap_state *state, uint64_t now_ms,
                    uint32_t budget);
/* When portmap_expire() has something to do next; UINT64_MAX: never. */
uint64_t portmap_next_expiry(const struct portmap_state *state);

/* As librettos/portmap.h has them. Domains not made known get -ENOENT. */
int portmap_bind(struct portmap_state *state, uint16_t domain, uint8_t protocol,
                 uint16_t port, uint64_t now_ms, uint16_t *bound);
int portmap_lease(struct portmap_state *state, uint16_t domain,
                  uint8_t protocol, uint32_t count, uint64_t now_ms,
                  uint16_t *first);
int portmap_release(struct portmap_state *state, uint16_t domain,
                    uint8_t protocol, uint32_t first, uint32_t count,
                    uint64_t now_ms);
/* release(LVIF_PORT_TCP_AND_UDP, 0, 0); 1: there is more. */
int portmap_release_all(struct portmap_state *state, uint16_t domain,
                        uint64_t now_ms, uint32_t budget);
int portmap_set_limit(struct portmap_state *state, uint16_t domain,
                      uint32_t ports);
int portmap_reserve(struct portmap_state *state, uint8_t protocol,
                    uint32_t first, uint32_t count, bool reserve,
                    uint64_t now_ms);
/* In: protocol, port. */
int portmap_query(const struct portmap_state *state, uint64_t now_ms,
                  struct lvif_portmap_query *query);

#endif
