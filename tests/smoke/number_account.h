/* SPDX-License-Identifier: BSD-2-Clause */
/* What came of numbered datagrams: received, lost, doubled, out of order, and when. One thread. */
#ifndef NUMBER_ACCOUNT_H
#define NUMBER_ACCOUNT_H

#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { numbered_bytes = 64 }; /* of a datagram; it begins with: */

struct numbered { /* in the machine's order */
    uint64_t sent_ns;
    uint32_t number;
};

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

/* Nanoseconds since 1970, as datagrams and files have them. */
uint64_t number_account_now(void);
/* file: gets of each arrival its time and the time when it was sent. 0 or -1 with errno. */
int number_account_open(struct number_account* account, char const* file);
void number_account_take(struct number_account* account, struct numbered datagram, uint64_t at_ns);
/* Ends the file, and prints the members of a JSON object, without braces. */
void number_account_close(struct number_account* account);

#ifdef __cplusplus
}
#endif

#endif
