// SPDX-License-Identifier: BSD-2-Clause
#define _GNU_SOURCE
#include "number_account.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { most_numbers = 1 << 27, most_events = 10000 };

uint64_t number_account_now(void) {
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

int number_account_open(struct number_account* account, char const* file) {
    *account = (struct number_account){.seen = calloc(most_numbers / 8, 1),
                                       .times = fopen(file, "wb"),
                                       .events = calloc(most_events, sizeof(*account->events))};
    return account->seen == NULL || account->times == NULL || account->events == NULL ? -1 : 0;
}

static void note(struct number_account* account, char const* what, uint64_t at_ns, uint32_t first, uint32_t count) {
    if (account->event_count < most_events)
        account->events[account->event_count++] = (struct number_event){what, at_ns, first, count};
}

void number_account_take(struct number_account* account, struct numbered datagram, uint64_t at_ns) {
    uint32_t const number = datagram.number;
    uint64_t const times[] = {at_ns, datagram.sent_ns};
    unsigned char* const byte = &account->seen[number % most_numbers / 8];
    unsigned char const bit = (unsigned char)(1u << number % 8);

    if (*byte & bit) {
        account->doubled++;
        note(account, "doubled", at_ns, number, 1);
    } else {
        account->received++;
        if (number < account->next) {
            account->reordered++;
            note(account, "reordered", at_ns, number, 1);
        } else if (number > account->next) {
            note(account, "lost", at_ns, account->next, number - account->next);
        }
    }
    *byte |= bit;
    if (number >= account->next)
        account->next = number + 1;
    fwrite(times, sizeof(times), 1, account->times);
}

/* What was missed and came later is not lost. */
static void print_events(struct number_account const* account) {
    printf(", \"events\": [");
    for (unsigned i = 0, printed = 0; i < account->event_count; i++) {
        struct number_event const* const event = &account->events[i];
        uint32_t count = event->count;

        for (uint32_t n = event->first; strcmp(event->what, "lost") == 0 && n != event->first + event->count; n++)
            count -= account->seen[n % most_numbers / 8] >> n % 8 & 1u;
        if (count > 0)
            printf("%s[\"%s\", %llu, %u]", printed++ ? ", " : "", event->what, (unsigned long long)event->at_ns, count);
    }
    printf("]");
}

void number_account_close(struct number_account* account) {
    fclose(account->times);
    printf("\"received\": %llu, \"doubled\": %llu, \"reordered\": %llu, \"overrun\": %llu",
           (unsigned long long)account->received, (unsigned long long)account->doubled,
           (unsigned long long)account->reordered, (unsigned long long)account->overrun);
    print_events(account);
}
