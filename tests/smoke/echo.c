// SPDX-License-Identifier: BSD-2-Clause
// UDP and TCP echo on one port, IPv4 and IPv6, in one thread: smoke_echo PORT. A guest needs nothing else to run it.
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { datagrams, listener, first_connection, sockets = 64 };

static char buffer[65536];

static int bound_socket(int kind, char const* port) {
    struct sockaddr_in6 address = {
        .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)atoi(port)), .sin6_addr = in6addr_any};
    int const off = 0, on = 1;
    int const result = socket(AF_INET6, kind, 0);

    if (result < 0 || setsockopt(result, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
        setsockopt(result, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) < 0 ||
        bind(result, (struct sockaddr*)&address, sizeof(address)) < 0 ||
        (kind == SOCK_STREAM && listen(result, 16) < 0)) {
        perror("smoke_echo");
        exit(1);
    }
    return result;
}

static void answer_datagram(int socket) {
    struct sockaddr_storage peer;
    socklen_t length = sizeof(peer);
    ssize_t const size = recvfrom(socket, buffer, sizeof(buffer), 0, (struct sockaddr*)&peer, &length);

    if (size >= 0 && sendto(socket, buffer, (size_t)size, 0, (struct sockaddr*)&peer, length) < 0) {
        perror("smoke_echo: sendto");
    }
}

// False at the end of the connection.
static int answer_stream(int connection) {
    ssize_t const size = recv(connection, buffer, sizeof(buffer), 0);

    for (ssize_t sent = 0; sent < size;) {
        ssize_t const more = send(connection, buffer + sent, (size_t)(size - sent), MSG_NOSIGNAL);
        if (more <= 0) {
            return 0;
        }
        sent += more;
    }
    return size > 0;
}

static void accept_into(struct pollfd* all) {
    int const connection = accept(all[listener].fd, NULL, NULL);

    for (int i = first_connection; i < sockets && connection >= 0; i++) {
        if (all[i].fd < 0) {
            all[i].fd = connection;
            return;
        }
    }
    close(connection);
}

int main(int argc, char** argv) {
    struct pollfd all[sockets];

    if (argc != 2) {
        fputs("usage: smoke_echo PORT\n", stderr);
        return 2;
    }
    for (int i = 0; i < sockets; i++) {
        all[i] = (struct pollfd){.fd = -1, .events = POLLIN};
    }
    all[datagrams].fd = bound_socket(SOCK_DGRAM, argv[1]);
    all[listener].fd = bound_socket(SOCK_STREAM, argv[1]);
    while (poll(all, sockets, -1) >= 0) {
        if (all[datagrams].revents != 0) {
            answer_datagram(all[datagrams].fd);
        }
        for (int i = first_connection; i < sockets; i++) {
            if (all[i].fd >= 0 && all[i].revents != 0 && !answer_stream(all[i].fd)) {
                close(all[i].fd);
                all[i].fd = -1;
            }
        }
        if (all[listener].revents != 0) {
            accept_into(all);
        }
    }
    perror("smoke_echo: poll");
    return 1;
}
