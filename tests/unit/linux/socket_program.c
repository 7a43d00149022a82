/* SPDX-License-Identifier: BSD-2-Clause */
/* clang-format off */
/*
 * A guest's program for the tests, built twice: dynamically and statically linked. Its arguments are steps, carried out in order;
 * each answers one line: "<step> <result> <local port>", the result being ok or the name of an error.
 *
 *   tcp4 tcp6 udp4 udp6   a new socket, the current one from now on     reuseport   v6only   on the current socket
 *   bind ADDRESS PORT     listen    connect ADDRESS PORT     sendto ADDRESS PORT     accept     close
 *   sendbuffer BYTES      so much can be sent before anybody takes it: what the kernel chooses depends on the connection's course
 *   send BYTES, receive BYTES    of a known pattern on the current connection, checked by the receiver (else EBADMSG)
 *   bind32 PORT, socketcall32 PORT    the current IPv4 socket, to the wildcard address, by the i386 system calls
 *   race COUNT PORT STEP  so many threads bind a TCP socket each, at once, to PORT, PORT + STEP, ..: prints how many could
 *   many COUNT            so many UDP sockets bound to port 0: prints how many could
 *   drop                  all capabilities, by becoming another user     unshare     into another network namespace
 *   exec                  the rest in a fork of this program, executed anew; prints nothing itself
 *   daemon                the parent ends, a child goes on with the rest
 *   timewait PORT         a connection to itself on PORT, closed so that only its TIME_WAIT is left there
 *   unix, iouring         bind a UNIX socket; set up a ring for asynchronous calls
 *   wait                  for a line on standard input
 */
/* clang-format on */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static int current = -1;

static socklen_t parse(char const* text, char const* port, struct sockaddr_storage* address) {
    struct sockaddr_in* in = (struct sockaddr_in*)address;
    struct sockaddr_in6* in6 = (struct sockaddr_in6*)address;

    memset(address, 0, sizeof(*address));
    if (strchr(text, ':') != NULL) {
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons((uint16_t)atoi(port));
        inet_pton(AF_INET6, text, &in6->sin6_addr);
        return sizeof(*in6);
    }
    in->sin_family = AF_INET;
    in->sin_port = htons((uint16_t)atoi(port));
    inet_pton(AF_INET, text, &in->sin_addr);
    return sizeof(*in);
}

static unsigned local_port(int fd) {
    struct sockaddr_storage address;
    socklen_t length = sizeof(address);

    if (getsockname(fd, (struct sockaddr*)&address, &length) < 0)
        return 0;
    return ntohs(address.ss_family == AF_INET6 ? ((struct sockaddr_in6*)&address)->sin6_port
                                               : ((struct sockaddr_in*)&address)->sin_port);
}

static void answer(char const* step, int result) {
    char const* const outcome = result >= 0 ? "ok" : strerrorname_np(errno);

    printf("%s %s %u\n", step, outcome, local_port(current));
}

static void make_socket(char const* kind) {
    current = socket(kind[3] == '6' ? AF_INET6 : AF_INET, kind[0] == 't' ? SOCK_STREAM : SOCK_DGRAM, 0);
    answer(kind, current);
}

static void set_option(char const* step, int level, int option, int value) {
    answer(step, setsockopt(current, level, option, &value, sizeof(value)));
}

#if defined(__x86_64__)
/* The i386 system calls from 64-bit code: pointers have to lie below 4 GiB. */
static int bind32(char const* port, int by_socketcall) {
    uint8_t* low = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    uint32_t* packed = (uint32_t*)(low + 1024);
    struct sockaddr_storage address;
    socklen_t const length = parse("0.0.0.0", port, &address);
    long result;

    memcpy(low, &address, length);
    packed[0] = (uint32_t)current;
    packed[1] = (uint32_t)(uintptr_t)low;
    packed[2] = length;
    if (by_socketcall)
        __asm__ volatile("int $0x80"
                         : "=a"(result)
                         : "a"(102L), "b"(2L), "c"(packed)
                         : "memory", "r8", "r9", "r10", "r11");
    else
        __asm__ volatile("int $0x80"
                         : "=a"(result)
                         : "a"(361L), "b"((long)current), "c"(low), "d"((long)length)
                         : "memory", "r8", "r9", "r10", "r11");
    errno = (int)result < 0 ? -(int)result : 0;
    return (int)result < 0 ? -1 : 0;
}
#else
static int bind32(char const* port, int by_socketcall) {
    (void)port;
    (void)by_socketcall;
    errno = ENOSYS;
    return -1;
}
#endif

static pthread_barrier_t together;

static void* bind_one(void* argument) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)(uintptr_t)argument)};
    int const fd = socket(AF_INET, SOCK_STREAM, 0);

    pthread_barrier_wait(&together);
    return (void*)(uintptr_t)(bind(fd, (struct sockaddr*)&address, sizeof(address)) == 0);
}

static unsigned race(unsigned count, unsigned port, unsigned step) {
    pthread_t threads[64];
    unsigned won = 0;

    pthread_barrier_init(&together, NULL, count);
    for (unsigned i = 0; i < count; i++)
        pthread_create(&threads[i], NULL, bind_one, (void*)(uintptr_t)(port + i * step));
    for (unsigned i = 0; i < count; i++) {
        void* result;
        pthread_join(threads[i], &result);
        won += result != NULL;
    }
    return won;
}

static unsigned many(unsigned count) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    unsigned bound = 0;

    for (unsigned i = 0; i < count; i++) {
        int const fd = socket(AF_INET, SOCK_DGRAM, 0);
        bound += bind(fd, (struct sockaddr*)&address, sizeof(address)) == 0;
    }
    return bound;
}

static uint64_t sent;
static uint64_t received;

static int send_pattern(uint64_t bytes) {
    static uint8_t part[65536];

    for (uint64_t const end = sent + bytes; sent < end;) {
        size_t const length = end - sent < sizeof(part) ? (size_t)(end - sent) : sizeof(part);
        ssize_t done;
        for (size_t i = 0; i < length; i++)
            part[i] = (uint8_t)((sent + i) * 31 >> 3);
        done = send(current, part, length, MSG_NOSIGNAL);
        if (done <= 0)
            return -1;
        sent += (uint64_t)done;
    }
    return 0;
}

static int receive_pattern(uint64_t bytes) {
    static uint8_t part[65536];

    for (uint64_t const end = received + bytes; received < end;) {
        size_t const length = end - received < sizeof(part) ? (size_t)(end - received) : sizeof(part);
        ssize_t const done = recv(current, part, length, 0);
        if (done <= 0)
            return -1;
        for (ssize_t i = 0; i < done; i++) {
            if (part[i] != (uint8_t)((received + (uint64_t)i) * 31 >> 3)) {
                errno = EBADMSG;
                return -1;
            }
        }
        received += (uint64_t)done;
    }
    return 0;
}

static int bind_unix(void) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int const fd = socket(AF_UNIX, SOCK_STREAM, 0);

    snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "socket-program-%d", (int)getpid());
    return bind(fd, (struct sockaddr*)&address, sizeof(address));
}

static int leave_time_wait(char const* port) {
    int const on = 1;
    int const listener = socket(AF_INET, SOCK_STREAM, 0);
    int const client = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_storage address;
    socklen_t length = parse("0.0.0.0", port, &address);
    int accepted;

    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(listener, (struct sockaddr*)&address, length) < 0 || listen(listener, 1) < 0)
        return -1;
    length = parse("127.0.0.1", port, &address);
    if (connect(client, (struct sockaddr*)&address, length) < 0)
        return -1;
    accepted = accept(listener, NULL, NULL);
    return close(accepted) + close(client) + close(listener);
}

static void wait_for_line(void) {
    char byte;

    while (read(0, &byte, 1) == 1 && byte != '\n')
        ;
}

static void go_on_in_child(char** rest, int parent_stays) {
    pid_t const child = fork();

    if (child > 0) {
        int status = 0;
        if (parent_stays)
            waitpid(child, &status, 0);
        exit(WEXITSTATUS(status));
    }
    if (parent_stays) {
        rest[0] = (char*)"/proc/self/exe";
        execv(rest[0], rest);
        _exit(127);
    }
}

/* Returns how many arguments the step took. */
static int carry_out(char** step) {
    struct sockaddr_storage address;
    socklen_t length;

    if (strstr("tcp4 tcp6 udp4 udp6", step[0]) != NULL) {
        make_socket(step[0]);
    } else if (strcmp(step[0], "reuseport") == 0) {
        set_option(step[0], SOL_SOCKET, SO_REUSEPORT, 1);
    } else if (strcmp(step[0], "v6only") == 0) {
        set_option(step[0], IPPROTO_IPV6, IPV6_V6ONLY, 1);
    } else if (strcmp(step[0], "bind") == 0) {
        length = parse(step[1], step[2], &address);
        answer(step[0], bind(current, (struct sockaddr*)&address, length));
        return 3;
    } else if (strcmp(step[0], "connect") == 0) {
        length = parse(step[1], step[2], &address);
        answer(step[0], connect(current, (struct sockaddr*)&address, length));
        return 3;
    } else if (strcmp(step[0], "sendto") == 0) {
        length = parse(step[1], step[2], &address);
        answer(step[0], (int)sendto(current, "x", 1, 0, (struct sockaddr*)&address, length));
        return 3;
    } else if (strcmp(step[0], "listen") == 0) {
        answer(step[0], listen(current, 8));
    } else if (strcmp(step[0], "accept") == 0) {
        answer(step[0], current = accept(current, NULL, NULL));
    } else if (strcmp(step[0], "close") == 0) {
        answer(step[0], close(current));
    } else if (strcmp(step[0], "bind32") == 0 || strcmp(step[0], "socketcall32") == 0) {
        answer(step[0], bind32(step[1], step[0][0] == 's'));
        return 2;
    } else if (strcmp(step[0], "race") == 0) {
        printf("race %u\n", race((unsigned)atoi(step[1]), (unsigned)atoi(step[2]), (unsigned)atoi(step[3])));
        return 4;
    } else if (strcmp(step[0], "timewait") == 0) {
        current = -1;
        answer(step[0], leave_time_wait(step[1]));
        return 2;
    } else if (strcmp(step[0], "sendbuffer") == 0) {
        set_option(step[0], SOL_SOCKET, SO_SNDBUFFORCE, atoi(step[1]));
        return 2;
    } else if (strcmp(step[0], "send") == 0) {
        answer(step[0], send_pattern((uint64_t)atoll(step[1])));
        return 2;
    } else if (strcmp(step[0], "receive") == 0) {
        answer(step[0], receive_pattern((uint64_t)atoll(step[1])));
        return 2;
    } else if (strcmp(step[0], "many") == 0) {
        printf("many %u\n", many((unsigned)atoi(step[1])));
        return 2;
    } else if (strcmp(step[0], "drop") == 0) {
        answer(step[0], setresuid(65534, 65534, 65534));
    } else if (strcmp(step[0], "unshare") == 0) {
        answer(step[0], unshare(CLONE_NEWNET));
    } else if (strcmp(step[0], "exec") == 0) {
        go_on_in_child(step, 1);
    } else if (strcmp(step[0], "daemon") == 0) {
        go_on_in_child(step, 0);
    } else if (strcmp(step[0], "unix") == 0) {
        answer(step[0], bind_unix());
    } else if (strcmp(step[0], "iouring") == 0) {
        answer(step[0], (int)syscall(SYS_io_uring_setup, 4, NULL));
    } else if (strcmp(step[0], "wait") == 0) {
        wait_for_line();
    } else {
        fprintf(stderr, "unknown step %s\n", step[0]);
        exit(2);
    }
    return 1;
}

int main(int argc, char** argv) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int i = 1; i < argc;)
        i += carry_out(argv + i);
    return 0;
}
