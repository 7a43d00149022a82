/* SPDX-License-Identifier: GPL-2.0-only */
/* Single ports: their words, their owners' lists, the choice of free ones. */
#ifndef PORTMAP_PORTS_H
#define PORTMAP_PORTS_H

#include "state.h"

static inline uint32_t portmap_word(const struct portmap_state *state,
                                    uint32_t index)
{
    return index < LVIF_PORTS ? state->table->tcp[index]
                              : state->table->udp[index - LVIF_PORTS];
}

static inline enum lvif_port_state
portmap_port_state(const struct portmap_state *state, uint32_t index)
{
    return (enum lvif_port_state)(
        (portmap_word(state, index) & LVIF_PORT_STATE_MASK) >>
        LVIF_PORT_STATE_SHIFT);
}

static inline uint64_t portmap_quarantine_end(const struct portmap_state *state,
                                              const struct portmap_owner *its)
{
    return its->ending
               ? 0
               : its->quarantined_since_ms + state->settings.quarantine_ms;
}

void portmap_set_word(struct portmap_state *state, uint32_t index,
                      uint32_t word, uint64_t now_ms);

/* The set of free ports; nothing happens for ports outside the ephemeral
 * range. */
void portmap_add_free(struct portmap_state *state, uint32_t index);
void portmap_take_free(struct portmap_state *state, uint32_t index);

/* A free port of the range, each as likely; PORTMAP_NONE when there is none.
 * `base`: 0 for TCP, LVIF_PORTS for UDP. */
uint32_t portmap_draw(struct portmap_state *state, uint32_t base);
/* First port of a free block; PORTMAP_NONE. */
uint32_t portmap_find_block(struct portmap_state *state, uint8_t protocol,
                            uint32_t count);

void portmap_claim(struct portmap_state *state, uint16_t owner, uint32_t index,
                   uint32_t flags, uint64_t now_ms);
/* A bound or quarantined port becomes free. */
void portmap_free_port(struct portmap_state *state, uint32_t index,
                       uint64_t now_ms);
/* Takes a port out of its owner's list and puts it among the free ones; a port
 * without owner stays as it is. The table's word is the caller's business. A
 * quarantined owner is forgotten with its last port. */
void portmap_take_from_owner(struct portmap_state *state, uint32_t index);

/* owners.c: leaves the quarantine's list, becomes unused. */
void portmap_forget_owner(struct portmap_state *state, uint16_t owner);

#endif
