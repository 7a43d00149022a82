// SPDX-License-Identifier: BSD-2-Clause
// When a processor stood still: it ran not even a thread that nothing may come before (SCHED_FIFO, 99), since the
// kernel did not let go of it, or whoever runs this machine did not give it; root.
//
//     bench_stalls    until SIGTERM; then prints of each time of 0.5 ms and more: PROCESSOR FROM TO
//
// FROM and TO are nanoseconds since 1970. Each processor is looked at every 0.25 ms, so FROM is early by up to that;
// more often would be what is looked for.
#define _GNU_SOURCE
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { look_every_ns = 250000, stall_ns = 500000, most_stalls = 1 << 18 };

struct processor {
    pthread_t thread;
    int number;
    size_t count;
    struct {
        uint64_t from_ns, to_ns;
    } stalls[most_stalls];
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

static uint64_t now_ns(void) {
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void* look(void* argument) {
    struct processor* const here = argument;
    struct sched_param const first = {.sched_priority = 99};
    struct timespec const pause = {0, look_every_ns};
    cpu_set_t alone;

    CPU_ZERO(&alone);
    CPU_SET(here->number, &alone);
    if (sched_setaffinity(0, sizeof(alone), &alone) < 0 || sched_setscheduler(0, SCHED_FIFO, &first) < 0)
        fail("bench_stalls: run before all else (are you root?)");
    for (uint64_t last = now_ns(), now; !ending; last = now) {
        clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
        now = now_ns();
        if (now - last >= stall_ns && here->count < most_stalls) {
            here->stalls[here->count].from_ns = last;
            here->stalls[here->count++].to_ns = now;
        }
    }
    return NULL;
}

int main(void) {
    struct sigaction const action = {.sa_handler = end};
    int const count = (int)sysconf(_SC_NPROCESSORS_ONLN);
    struct processor* const processors = calloc((size_t)count, sizeof(*processors));

    if (processors == NULL)
        fail("bench_stalls: memory");
    sigaction(SIGTERM, &action, NULL);
    for (int i = 0; i < count; i++) {
        processors[i].number = i;
        if (pthread_create(&processors[i].thread, NULL, look, &processors[i]) != 0)
            fail("bench_stalls: a thread");
    }
    for (int i = 0; i < count; i++)
        pthread_join(processors[i].thread, NULL);
    for (int i = 0; i < count; i++) {
        for (size_t at = 0; at < processors[i].count; at++)
            printf("%d %" PRIu64 " %" PRIu64 "\n", i, processors[i].stalls[at].from_ns, processors[i].stalls[at].to_ns);
    }
    free(processors);
    return 0;
}
