/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A rump kernel with an echo server (port 7) and a sink (port 9), and an echo server of IPv6 (port 11) where it has
 * that, which measures against another one on command. Built by rump_build.py against the libraries of a rump kernel.
 *
 *     rump_peer INTERFACE ADDRESS      INTERFACE: virtN, or the path of a shmif's bus; ADDRESS/24
 *     rump_peer librettos              the interface of librettos-netserver, by its offer
 *
 * On stdout a line of JSON when it is ready, and one for each line of stdin:
 *     latency ADDRESS COUNT            round trips of one byte over TCP: {"p50_us": .., "p99_us": ..}
 *     send ADDRESS MEGABYTES           to the sink: {"mbit_per_s": ..}
 *     echo ADDRESS MEGABYTES           there and back, compared: {"mbit_per_s": ..} each way
 */
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "guest-frontend/rump/netbsd.h"

/* last: these expect the types of the headers above */
#include <rump/netconfig.h>
#include <rump/rump.h>
#include <rump/rump_syscalls.h>

#define SOCK_STREAM_NETBSD 1
#define ECHO_PORT 7
#define SINK_PORT 9
#define ECHO6_PORT 11
#define BLOCK_BYTES 65536
#define PERIOD 65521 /* of what is sent; no multiple of a block, a segment or a page */

int rump_pub_shmif_create(char const* path, int* unit) __attribute__((weak));
int librettos_rump_ifup(char const* interface) __attribute__((weak));

static unsigned char pattern[PERIOD + BLOCK_BYTES]; /* at any place of the stream a block's worth of it */

static void fail(char const* text) {
    fprintf(stderr, "%s\n", text);
    _exit(1); /* others may do the same */
}

/* What a call of the rump kernel's came to. */
static void die(char const* what) {
    fprintf(stderr, "%s: error %d of NetBSD's\n", what, errno);
    _exit(1);
}

static double now_us(void) {
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static struct netbsd_sockaddr_in address_of(char const* text, uint16_t port) {
    struct netbsd_sockaddr_in address = {.length = sizeof(address), .family = NETBSD_AF_INET, .port = htons(port)};

    if (text != NULL && inet_pton(AF_INET, text, address.address) != 1)
        fail("that is no address of IPv4");
    return address;
}

static int stream(int family) {
    int const fd = rump_sys_socket(family, SOCK_STREAM_NETBSD, 0);

    if (fd < 0)
        die("socket");
    return fd;
}

static void* serve_connection(void* argument) {
    int const fd = (int)(intptr_t)argument >> 1;
    int const echoes = (int)(intptr_t)argument & 1;
    char* const block = malloc(BLOCK_BYTES);
    ssize_t length;

    rump_pub_lwproc_newlwp(1);
    while ((length = rump_sys_read(fd, block, BLOCK_BYTES)) > 0)
        for (ssize_t done = 0, more; echoes && done < length; done += more)
            if ((more = rump_sys_write(fd, block + done, (size_t)(length - done))) <= 0)
                break;
    if (!echoes)
        (void)rump_sys_write(fd, block, 1);
    rump_sys_close(fd);
    free(block);
    rump_pub_lwproc_releaselwp();
    return NULL;
}

static void serve(int listener, struct sockaddr const* address, socklen_t length, int echoes) {
    int fd;
    pthread_t thread;

    if (rump_sys_bind(listener, address, length) != 0 || rump_sys_listen(listener, 8) != 0)
        die("listen");
    while ((fd = rump_sys_accept(listener, NULL, NULL)) >= 0)
        if (pthread_create(&thread, NULL, serve_connection, (void*)(intptr_t)(fd << 1 | echoes)) == 0)
            pthread_detach(thread);
}

static void* serve_ipv4(void* argument) {
    uint16_t const port = (uint16_t)(intptr_t)argument;
    struct netbsd_sockaddr_in const address = address_of(NULL, port);

    rump_pub_lwproc_newlwp(1);
    serve(stream(NETBSD_AF_INET), (struct sockaddr const*)&address, sizeof(address), port == ECHO_PORT);
    return NULL;
}

static void* serve_ipv6(void* argument) {
    struct netbsd_sockaddr_in6 const address = {
        .length = sizeof(address), .family = NETBSD_AF_INET6, .port = htons(ECHO6_PORT)};

    (void)argument;
    rump_pub_lwproc_newlwp(1);
    serve(stream(NETBSD_AF_INET6), (struct sockaddr const*)&address, sizeof(address), 1);
    return NULL;
}

static int has_ipv6(void) {
    int const fd = rump_sys_socket(NETBSD_AF_INET6, SOCK_STREAM_NETBSD, 0);

    return fd >= 0 && rump_sys_close(fd) == 0;
}

static void start(void* (*thread)(void*), uint16_t port) {
    pthread_t started;

    if (pthread_create(&started, NULL, thread, (void*)(intptr_t)port) != 0)
        fail("no thread can be had");
}

/* The address may have to be found free first, which takes the stack seconds. */
static int connection(char const* peer, uint16_t port) {
    struct netbsd_sockaddr_in const address = address_of(peer, port);

    for (int attempt = 0; attempt < 100; attempt++) {
        int const fd = stream(NETBSD_AF_INET);

        if (rump_sys_connect(fd, (struct sockaddr const*)&address, sizeof(address)) == 0)
            return fd;
        rump_sys_close(fd);
        usleep(100000);
    }
    die("connect");
    return -1;
}

static int by_size(void const* one, void const* other) {
    double const a = *(double const*)one, b = *(double const*)other;

    return (a > b) - (a < b);
}

static void latency(char const* peer, unsigned count) {
    unsigned const warm_up = count / 10;
    double* const us = calloc(count, sizeof(*us));
    int const fd = connection(peer, ECHO_PORT);
    char byte = 'x';

    for (unsigned i = 0; i < warm_up + count; i++) {
        double const began = now_us();

        if (rump_sys_write(fd, &byte, 1) != 1 || rump_sys_read(fd, &byte, 1) != 1)
            die("round trip");
        if (i >= warm_up)
            us[i - warm_up] = now_us() - began;
    }
    rump_sys_close(fd);
    qsort(us, count, sizeof(*us), by_size);
    printf("{\"p50_us\": %.1f, \"p99_us\": %.1f}\n", us[count / 2], us[count - 1 - count / 100]);
    free(us);
}

struct sending {
    int fd;
    size_t bytes;
};

static void* send_bytes(void* argument) {
    struct sending const* const sending = argument;

    rump_pub_lwproc_newlwp(1);
    for (size_t left = sending->bytes; left > 0;) {
        ssize_t const done = rump_sys_write(sending->fd, pattern + (sending->bytes - left) % PERIOD,
                                            left < BLOCK_BYTES ? left : BLOCK_BYTES);

        if (done <= 0)
            die("send");
        left -= (size_t)done;
    }
    rump_sys_shutdown(sending->fd, 1);
    rump_pub_lwproc_releaselwp();
    return NULL;
}

static void bulk(char const* peer, uint16_t port, unsigned megabytes) {
    struct sending sending = {.fd = connection(peer, port), .bytes = (size_t)megabytes * 1000000};
    size_t const expected = port == ECHO_PORT ? sending.bytes : 1;
    char* const block = malloc(BLOCK_BYTES);
    double const began = now_us();
    size_t received = 0;
    ssize_t length;
    pthread_t sender;

    if (pthread_create(&sender, NULL, send_bytes, &sending) != 0)
        fail("no thread can be had");
    while (received < expected && (length = rump_sys_read(sending.fd, block, BLOCK_BYTES)) > 0) {
        if (port == ECHO_PORT && memcmp(block, pattern + received % PERIOD, (size_t)length) != 0)
            fail("other bytes came back than were sent");
        received += (size_t)length;
    }
    if (received != expected)
        fail("bytes are missing");
    printf("{\"mbit_per_s\": %.1f}\n", (double)sending.bytes * 8 / (now_us() - began));
    pthread_join(sender, NULL);
    rump_sys_close(sending.fd);
    free(block);
}

static void start_interface(int argc, char** argv) {
    char name[32];
    int unit = 0, error;

    if (argc == 2) {
        if (librettos_rump_ifup == NULL)
            fail("librettos-rump-virt.so is not loaded");
        if ((error = librettos_rump_ifup("virt0")) == 0)
            return;
        fprintf(stderr, "virt0: error %d\n", error);
        exit(1);
    }
    snprintf(name, sizeof(name), "%s", argv[1]);
    if (argv[1][0] == '/') {
        error = rump_pub_shmif_create(argv[1], &unit);
        snprintf(name, sizeof(name), "shmif%d", unit);
    } else {
        error = rump_pub_netconfig_ifcreate(name);
    }
    if (error != 0 || (error = rump_pub_netconfig_ipv4_ifaddr_cidr(name, argv[2], 24)) != 0 ||
        (error = rump_pub_netconfig_ifup(name)) != 0) {
        fprintf(stderr, "%s: error %d of NetBSD's\n", name, error);
        exit(1);
    }
}

int main(int argc, char** argv) {
    char line[128], peer[64];
    unsigned amount;

    if (argc != 2 && argc != 3) {
        fputs("rump_peer INTERFACE ADDRESS | librettos\n", stderr);
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    rump_boot_setsigmodel(RUMP_SIGMODEL_IGNORE);
    if (rump_init() != 0)
        die("rump_init");
    start_interface(argc, argv);
    for (unsigned i = 0; i < sizeof(pattern); i++)
        pattern[i] = (unsigned char)(i % PERIOD * 2654435761u >> 24);
    start(serve_ipv4, ECHO_PORT);
    start(serve_ipv4, SINK_PORT);
    rump_pub_lwproc_newlwp(1);
    if (has_ipv6())
        start(serve_ipv6, ECHO6_PORT);
    puts("{\"ready\": true}");
    while (fgets(line, sizeof(line), stdin) != NULL) {
        if (sscanf(line, "latency %63s %u", peer, &amount) == 2)
            latency(peer, amount);
        else if (sscanf(line, "send %63s %u", peer, &amount) == 2)
            bulk(peer, SINK_PORT, amount);
        else if (sscanf(line, "echo %63s %u", peer, &amount) == 2)
            bulk(peer, ECHO_PORT, amount);
    }
    _exit(0); /* the rump kernel's threads run on */
}
