/* SPDX-License-Identifier: BSD-2-Clause */
/* The part of NetBSD's TCP/IP in which ports are given out, with control blocks of another layout: a shared library,
 * whose functions call each other by name, as the real one's do. Called in the kernel. */
#ifndef LIBRETTOS_TCPIP_DOUBLE_H
#define LIBRETTOS_TCPIP_DOUBLE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum double_protocol { DOUBLE_TCP, DOUBLE_UDP, DOUBLE_RAW };

/* A socket; NULL: no memory, or a broken table. */
void* double_socket(enum double_protocol protocol, int ipv6);
/* port 0: any. loopback: to 127.0.0.1 or ::1. NetBSD's error numbers. */
int double_bind(void* socket, uint16_t port, int loopback);
/* Binds first where it has to. */
int double_connect(void* socket);
/* Of a listening socket: one that has the same port. */
void* double_accept(void* listener);
void double_close(void* socket);
uint16_t double_port(void* socket);
/* A revision whose table does not begin with its newest block. */
void double_break_tables(int broken);

/* What was configured, as text. */
char const* double_configured(void);

#ifdef __cplusplus
}
#endif

#endif
