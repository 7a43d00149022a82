/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Calls the hypervisor's portmap, in dom0 or in a domU: portmap_call [--expect ERROR] OPERATION [ARGUMENT...]
 *
 *   features                          bind PROTOCOL PORT               lease PROTOCOL COUNT
 *   release PROTOCOL FIRST COUNT      query PROTOCOL PORT              limit DOMAIN PORTS
 *   reserve PROTOCOL FIRST COUNT      unreserve PROTOCOL FIRST COUNT   name DOMAIN NAME
 *   quarantine SECONDS                assign DOMAIN                    seed
 *   raw OPERATION                     time PROTOCOL COUNT
 *   table PROTOCOL PORT               map-writable                     map-frame FRAME
 *   hold SECONDS
 *
 * PROTOCOL: 6, 17, or 0 for both. `table` maps the table and prints the entry; `map-writable` tries to map it for
 * writing, `map-frame` to map that machine frame for reading; `hold` maps the table for a time. Prints the answer as
 * KEY=VALUE. Exit status 0: success, or with --expect exactly that error (a name as EPERM); 1: anything else.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <xen/xen.h>
#include <xenforeignmemory.h>

#include "port_hypercall.h"

enum { TABLE_FRAMES = sizeof(struct lvif_portmap) / 4096 };

static struct lvif_portmap_caller caller;

static int call(enum lvif_portmap_operation operation, void* structure, uint32_t bytes) {
    return caller.call(caller.context, operation, structure, bytes);
}

static unsigned long number(char const* text) {
    char* end;
    unsigned long value = strtoul(text, &end, 0);

    if (*end != 0 || end == text) {
        fprintf(stderr, "portmap_call: %s is not a number\n", text);
        exit(2);
    }
    return value;
}

static int features(char** arguments) {
    struct lvif_portmap_features found;
    int status = lvif_portmap_probe(&caller, &found);

    (void)arguments;
    if (status == 0)
        printf("abi=%u features=%u ports_per_domain=%u quarantine_s=%u owners=%u\n", found.abi, found.features,
               found.ports_per_domain, found.quarantine_s, found.owners);
    return status;
}

static int bind_port(char** arguments) {
    uint16_t bound = 0;
    int status = lvif_portmap_bind(&caller, number(arguments[0]), number(arguments[1]), &bound);

    if (status == 0)
        printf("port=%u\n", bound);
    return status;
}

static int lease(char** arguments) {
    uint16_t first = 0;
    int status = lvif_portmap_lease(&caller, number(arguments[0]), number(arguments[1]), &first);

    if (status == 0)
        printf("first=%u\n", first);
    return status;
}

static int release(char** arguments) {
    return lvif_portmap_release(&caller, number(arguments[0]), number(arguments[1]), number(arguments[2]));
}

static int query(char** arguments) {
    struct lvif_portmap_query asked = {.protocol = number(arguments[0]), .port = number(arguments[1])};
    int status = call(LVIF_PORTMAP_OP_QUERY, &asked, sizeof(asked));

    if (status == 0)
        printf("entry=%#x state=%u owner=%u age_s=%u quarantine_left_s=%u ports=%u limit=%u name=%.63s\n", asked.entry,
               (asked.entry & LVIF_PORT_STATE_MASK) >> LVIF_PORT_STATE_SHIFT, asked.entry & LVIF_PORT_OWNER_MASK,
               asked.age_s, asked.quarantine_left_s, asked.owner_ports, asked.owner_limit, asked.owner_name);
    return status;
}

static int of_domain(enum lvif_portmap_operation operation, unsigned long domain, unsigned long value) {
    struct lvif_portmap_domain structure = {.domain = domain, .value = value};

    return call(operation, &structure, sizeof(structure));
}

static int limit(char** arguments) {
    return of_domain(LVIF_PORTMAP_OP_SET_LIMIT, number(arguments[0]), number(arguments[1]));
}

static int assign(char** arguments) {
    return of_domain(LVIF_PORTMAP_OP_ASSIGN_SERVER, number(arguments[0]), 0);
}

static int quarantine(char** arguments) {
    return of_domain(LVIF_PORTMAP_OP_SET_QUARANTINE, 0, number(arguments[0]));
}

static int name(char** arguments) {
    struct lvif_portmap_name named = {.domain = number(arguments[0])};

    strncpy(named.name, arguments[1], LVIF_PORTMAP_NAME_MAX);
    return call(LVIF_PORTMAP_OP_SET_NAME, &named, sizeof(named));
}

static int keep(char** arguments, bool on) {
    struct lvif_portmap_ports ports = {
        .protocol = number(arguments[0]), .on = on, .port = number(arguments[1]), .count = number(arguments[2])};

    return call(LVIF_PORTMAP_OP_RESERVE, &ports, sizeof(ports));
}

static int reserve(char** arguments) {
    return keep(arguments, true);
}

static int unreserve(char** arguments) {
    return keep(arguments, false);
}

static int seed(char** arguments) {
    struct lvif_portmap_seed bytes = {{1, 2, 3}};

    (void)arguments;
    return call(LVIF_PORTMAP_OP_SEED, &bytes, sizeof(bytes));
}

static int raw(char** arguments) {
    struct lvif_portmap_query zero = {0};

    return call(number(arguments[0]), &zero, sizeof(zero));
}

/* Microseconds of a bind and release, the mean of COUNT. */
static int time_bind(char** arguments) {
    unsigned long count = number(arguments[1]);
    struct timespec begin, end;
    uint16_t bound = 0;

    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (unsigned long i = 0; i < count; i++) {
        int status = lvif_portmap_bind(&caller, number(arguments[0]), 0, &bound);

        if (status == 0)
            status = lvif_portmap_release(&caller, number(arguments[0]), bound, 1);
        if (status != 0)
            return status;
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    printf("bind_and_release_us=%.2f\n",
           ((double)(end.tv_sec - begin.tv_sec) * 1e6 + (double)(end.tv_nsec - begin.tv_nsec) / 1e3) / (double)count);
    return 0;
}

static int map(uint64_t first, size_t frames, int protection, void** mapped) {
    xenforeignmemory_handle* memory = xenforeignmemory_open(NULL, 0);
    xen_pfn_t frame[TABLE_FRAMES];
    int error[TABLE_FRAMES];

    if (memory == NULL)
        return -errno;
    for (size_t i = 0; i < frames; i++)
        frame[i] = first + i;
    *mapped = xenforeignmemory_map(memory, DOMID_SELF, protection, frames, frame, error);
    if (*mapped == NULL)
        return -errno;
    for (size_t i = 0; i < frames; i++)
        if (error[i] != 0)
            return error[i] < 0 ? error[i] : -error[i];
    return 0;
}

static int map_table(int protection, struct lvif_portmap** mapped) {
    struct lvif_portmap_table found = {0};
    int status = call(LVIF_PORTMAP_OP_TABLE, &found, sizeof(found));
    void* memory = NULL;

    if (status != 0)
        return status;
    if (found.frames != TABLE_FRAMES)
        return -EPROTO;
    printf("first_frame=%#llx frames=%u\n", (unsigned long long)found.first_frame, found.frames);
    status = map(found.first_frame, found.frames, protection, &memory);
    *mapped = memory;
    return status;
}

static int table(char** arguments) {
    struct lvif_portmap* mapped;
    int status = map_table(PROT_READ, &mapped);

    if (status != 0)
        return status;
    printf("magic=%#x ephemeral=%u-%u entry=%#x\n", mapped->magic, mapped->ephemeral_first, mapped->ephemeral_last,
           number(arguments[0]) == 6 ? mapped->tcp[number(arguments[1])] : mapped->udp[number(arguments[1])]);
    return 0;
}

static int hold(char** arguments) {
    struct lvif_portmap* mapped;
    int status = map_table(PROT_READ, &mapped);
    if (status == 0)
        sleep((unsigned)number(arguments[0]));
    return status;
}

static int map_writable(char** arguments) {
    struct lvif_portmap* mapped;

    (void)arguments;
    return map_table(PROT_READ | PROT_WRITE, &mapped);
}

static int map_frame(char** arguments) {
    void* mapped;

    return map(number(arguments[0]), 1, PROT_READ, &mapped);
}

static struct {
    char const* name;
    int arguments;
    int (*run)(char** arguments);
} const operations[] = {
    {"features", 0, features},
    {"bind", 2, bind_port},
    {"lease", 2, lease},
    {"release", 3, release},
    {"query", 2, query},
    {"limit", 2, limit},
    {"reserve", 3, reserve},
    {"unreserve", 3, unreserve},
    {"name", 2, name},
    {"assign", 1, assign},
    {"quarantine", 1, quarantine},
    {"seed", 0, seed},
    {"raw", 1, raw},
    {"time", 2, time_bind},
    {"table", 2, table},
    {"map-writable", 0, map_writable},
    {"map-frame", 1, map_frame},
    {"hold", 1, hold},
};

int main(int count, char** words) {
    char const* expected = "success";
    struct lvif_xencall* xencall;
    int status;

    if (count > 2 && strcmp(words[1], "--expect") == 0) {
        expected = words[2];
        words += 2;
        count -= 2;
    }
    status = lvif_xencall_open(&xencall);
    if (status != 0) {
        fprintf(stderr, "portmap_call: /dev/xen/privcmd: %s\n", strerror(-status));
        return 1;
    }
    caller = lvif_xencall_caller(xencall);
    for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++) {
        if (count < 2 || strcmp(words[1], operations[i].name) != 0 || count - 2 != operations[i].arguments)
            continue;
        status = operations[i].run(words + 2);
        char const* result = status == 0 ? "success" : strerrorname_np(-status);

        printf("%s: %s\n", words[1], result);
        if (strcmp(result, expected) == 0)
            return 0;
        fprintf(stderr, "portmap_call: expected %s\n", expected);
        return 1;
    }
    fprintf(stderr, "portmap_call: no such operation, or not its number of arguments\n");
    return 2;
}
