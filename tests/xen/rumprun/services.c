// SPDX-License-Identifier: BSD-2-Clause
// What a unikernel of the lab runs, a program of plain sockets: services PORT. TCP and UDP echo on PORT, TCP on the
// next three: a sink, a source, and a service that ends with its first connection.
#include <sys/socket.h>
#include <sys/types.h>

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum service { ECHO, SINK, SOURCE, BRIEF, SERVICES, DATAGRAMS = SERVICES, FIRST_CONNECTION, SOCKETS = 64 };

static struct pollfd all[SOCKETS];
static enum service service_of[SOCKETS];
static char buffer[65536];

static int bound_socket(int kind, unsigned port) {
    struct sockaddr_in address;
    int const on = 1;
    int const result = socket(AF_INET, kind, 0);

    memset(&address, 0, sizeof(address));
    address.sin_family = AF_INET;
    address.sin_port = htons((uint16_t)port);
    if (result < 0 || setsockopt(result, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0) {
        err(1, "socket");
    }
    if (bind(result, (struct sockaddr*)&address, sizeof(address)) < 0) {
        err(1, "bind to port %u", port);
    }
    if (kind == SOCK_STREAM && listen(result, 16) < 0) {
        err(1, "listen on port %u", port);
    }
    return result;
}

static void send_all(int connection, size_t size) {
    for (size_t sent = 0; sent < size;) {
        ssize_t const more = send(connection, buffer + sent, size - sent, 0);
        if (more <= 0) {
            return;
        }
        sent += (size_t)more;
    }
}

static void answer_datagram(void) {
    struct sockaddr_in peer;
    socklen_t length = sizeof(peer);
    ssize_t const size = recvfrom(all[DATAGRAMS].fd, buffer, sizeof(buffer), 0, (struct sockaddr*)&peer, &length);

    if (size >= 0) {
        sendto(all[DATAGRAMS].fd, buffer, (size_t)size, 0, (struct sockaddr*)&peer, length);
    }
}

// False at the end of the connection.
static int serve(struct pollfd const* connection, enum service service) {
    if (service == SOURCE) {
        ssize_t const size = send(connection->fd, buffer, sizeof(buffer), MSG_NOSIGNAL);
        return size > 0 || errno == EAGAIN;
    }
    ssize_t const size = recv(connection->fd, buffer, sizeof(buffer), 0);
    if (size > 0 && service == ECHO) {
        send_all(connection->fd, (size_t)size);
    }
    return size > 0;
}

static void accept_of(enum service service) {
    int const connection = accept(all[service].fd, NULL, NULL);
    int const on = 1;

    if (service == BRIEF) {
        close(all[service].fd);
        all[service].fd = -1;
    }
    for (int i = FIRST_CONNECTION; service != BRIEF && i < SOCKETS; i++) {
        if (all[i].fd >= 0) {
            continue;
        }
        setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        if (service == SOURCE) {
            fcntl(connection, F_SETFL, O_NONBLOCK);
        }
        all[i].fd = connection;
        all[i].events = service == SOURCE ? POLLOUT : POLLIN;
        service_of[i] = service;
        return;
    }
    close(connection);
}

int main(int argc, char** argv) {
    unsigned const port = argc == 2 ? (unsigned)atoi(argv[1]) : 0;

    if (port == 0) {
        errx(2, "usage: services PORT");
    }
    for (int i = 0; i < SOCKETS; i++) {
        all[i].fd = -1;
        all[i].events = POLLIN;
    }
    for (unsigned i = 0; i < SERVICES; i++) {
        all[i].fd = bound_socket(SOCK_STREAM, port + i);
    }
    all[DATAGRAMS].fd = bound_socket(SOCK_DGRAM, port);
    printf("services: ready on %u\n", port);
    fflush(stdout);
    while (poll(all, SOCKETS, -1) >= 0) {
        if (all[DATAGRAMS].revents != 0) {
            answer_datagram();
        }
        for (int i = FIRST_CONNECTION; i < SOCKETS; i++) {
            if (all[i].fd >= 0 && all[i].revents != 0 && !serve(&all[i], service_of[i])) {
                close(all[i].fd);
                all[i].fd = -1;
            }
        }
        for (int i = 0; i < SERVICES; i++) {
            if (all[i].fd >= 0 && all[i].revents != 0) {
                accept_of((enum service)i);
            }
        }
    }
    err(1, "poll");
}
