/* SPDX-License-Identifier: BSD-2-Clause */
/* What came of numbered datagrams: received, lost, doubled, out of order, and when. One thread. */
#ifndef NUMBER_ACCOUNT_H
#define NUMBER_ACCOUNT_H

#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { numbered_bytes = 64 }; /* of a datagram; its number, in the machine's order, comes first */

struct number_event {
    char const* what;
    uint64_t at_ns;
    uint32_t first, count;
};

struct number_account {
    uint64_t received, doubled, reordered, overrun;
    uint32_t next;
    unsigned char* seen; /* one bit per number */
    FILE* times;
    struct number_event* events;
    unsigned event_count;
};

/* file: gets the time of each arrival. 0 or -1 with errno. */
int number_account_open(struct number_account* account, char const* file);
void number_account_take(struct number_account* account, uint32_t number, uint64_t at_ns);
/* Ends the file, and prints the members of a JSON object, without braces. */
void number_account_close(struct number_account* account);

#ifdef __cplusplus
}
#endif

#endif
