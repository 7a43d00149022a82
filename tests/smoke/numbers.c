// SPDX-License-Identifier: BSD-2-Clause
// Numbered UDP datagrams, at a steady rate, and an account of what came of them.
//
//     smoke_numbers send ADDRESS PORT PER_SECOND    until SIGTERM; prints {"sent": ...}
//     smoke_numbers receive PORT FILE               until SIGTERM and then silence; prints what was lost, doubled, out
//     of order
//
// FILE gets of each arrival its time, as the kernel saw it, and the time when it was sent: nanoseconds since 1970, 8
// bytes each, in the machine's order.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "number_account.h"

enum {
    payload_bytes = numbered_bytes,
    burst = 64,
    most_at_once = 256,
    slot_ns = 200000,
    gather_ns = 1000000,
    silence_ms = 300,
    buffer_bytes = 64 << 20
};

static volatile sig_atomic_t ending;

static void end(int signal) {
    (void)signal;
    ending = 1;
}

static _Noreturn void fail(char const* what) {
    perror(what);
    exit(1);
}

static int open_socket(void) {
    int const made = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (made < 0)
        fail("smoke_numbers: socket");
    return made;
}

static int64_t now_ns(void) {
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int send_numbers(char const* address, char const* port, double per_second) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
    int const out = open_socket();
    unsigned char payload[payload_bytes] = {0};
    uint32_t number = 0;
    int64_t const began = now_ns();

    if (inet_pton(AF_INET, address, &to.sin_addr) != 1 || connect(out, (struct sockaddr*)&to, sizeof(to)) < 0)
        fail("smoke_numbers: connect");
    while (!ending) {
        int64_t const slot_end = now_ns() + slot_ns;
        struct timespec const until = {slot_end / 1000000000, slot_end % 1000000000};
        uint32_t const due = (uint32_t)((double)(now_ns() - began) * 1e-9 * per_second);
        uint32_t const limit =
            due - number > 4 * burst ? number + 4 * burst : due;  // what a pause left undone is not made good at once

        for (; number != limit && !ending; number++) {
            struct numbered const head = {number_account_now(), number};

            memcpy(payload, &head, sizeof(head));
            while (send(out, payload, sizeof(payload), 0) < 0 && !ending) {
                if (errno != EINTR && errno != ECONNREFUSED && errno != ENOBUFS)
                    fail("smoke_numbers: send");
            }
        }
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
    }
    printf("{\"sent\": %u}\n", number);
    return 0;
}

static void take_ancillary(struct msghdr* message, struct number_account* account, uint64_t* at_ns) {
    for (struct cmsghdr* part = CMSG_FIRSTHDR(message); part != NULL; part = CMSG_NXTHDR(message, part)) {
        if (part->cmsg_level != SOL_SOCKET)
            continue;
        if (part->cmsg_type == SO_TIMESTAMPNS) {
            struct timespec time;

            memcpy(&time, CMSG_DATA(part), sizeof(time));
            *at_ns = (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
        } else if (part->cmsg_type == SO_RXQ_OVFL) {
            uint32_t drops;

            memcpy(&drops, CMSG_DATA(part), sizeof(drops));
            account->overrun = drops;
        }
    }
}

// Returns how many there were.
static int receive_burst(int in, struct number_account* account) {
    static unsigned char data[burst][payload_bytes];
    static _Alignas(struct cmsghdr) unsigned char control[burst][256];
    struct iovec parts[burst];
    struct mmsghdr messages[burst];

    memset(messages, 0, sizeof(messages));
    for (int i = 0; i < burst; i++) {
        parts[i] = (struct iovec){data[i], payload_bytes};
        messages[i].msg_hdr = (struct msghdr){
            .msg_iov = &parts[i], .msg_iovlen = 1, .msg_control = control[i], .msg_controllen = sizeof(control[i])};
    }
    int const count = recvmmsg(in, messages, burst, MSG_DONTWAIT, NULL);

    for (int i = 0; i < count; i++) {
        uint64_t at_ns = 0;
        struct numbered head;

        take_ancillary(&messages[i].msg_hdr, account, &at_ns);
        memcpy(&head, data[i], sizeof(head));
        if (messages[i].msg_len == payload_bytes)
            number_account_take(account, head, at_ns);
    }
    return count;
}

static int receive_numbers(char const* port, char const* file) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
    struct number_account account;
    int const in = open_socket(), on = 1, bytes = buffer_bytes;
    struct pollfd readable = {.fd = in, .events = POLLIN};
    struct timespec const gather = {0, gather_ns};

    if (number_account_open(&account, file) < 0 || bind(in, (struct sockaddr*)&at, sizeof(at)) < 0)
        fail("smoke_numbers: receive");
    setsockopt(in, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on));
    setsockopt(in, SOL_SOCKET, SO_RXQ_OVFL, &on, sizeof(on));
    setsockopt(in, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
    puts("{\"listens\": true}");
    fflush(stdout);
    for (;;) {
        int const ready = poll(&readable, 1, silence_ms);

        // The kernel has noted when each came: to run for one at a time would only keep others from running.
        if (ready == 1 && receive_burst(in, &account) < burst)
            clock_nanosleep(CLOCK_MONOTONIC, 0, &gather, NULL);
        else if (ready == 0 && ending)
            break;
    }
    printf("{");
    number_account_close(&account);
    printf("}\n");
    return 0;
}

int main(int argc, char** argv) {
    struct sigaction action = {.sa_handler = end};

    sigaction(SIGTERM, &action, NULL);
    if (argc == 5 && strcmp(argv[1], "send") == 0)
        return send_numbers(argv[2], argv[3], atof(argv[4]));
    if (argc == 4 && strcmp(argv[1], "receive") == 0)
        return receive_numbers(argv[2], argv[3]);
    fprintf(stderr, "usage: smoke_numbers send ADDRESS PORT PER_SECOND | receive PORT FILE\n");
    return 2;
}
