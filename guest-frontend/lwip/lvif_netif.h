/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A network interface of librettos-netserver for lwIP in a Linux process.
 *
 * Needs lwIP with NO_SYS = 0 and LWIP_TCPIP_CORE_LOCKING = 1 (Debian's liblwip has both). The process becomes a guest:
 * a domain of librettos-hypervisord, or of the Xen domain that it runs in. What the server offers is set: MAC, MTU,
 * IPv4 address, gateway, IPv6 address (lwIP has no way to set an IPv6 gateway: it learns one from router advertisements
 * or has none).
 *
 * A server that crashes is waited for. While the ring is full TCP keeps its segments and goes on when there is room;
 * UDP's senders see ERR_MEM.
 *
 * Frames leave when the core lock is given up, or 64 are together: a loop of udp_sendto() that holds it costs one
 * notification of the server, or one write to a register of the VF, for all of them. (Where lwIP's port has the core
 * lock in functions of the library, as Debian's has; else each frame leaves at once.)
 *
 * Ports. A guest on the shared address has to own a port before it binds it, or nothing comes to it and what it sends
 * is dropped. So: bind with the functions below, before tcp_connect() and before the first udp_sendto(), too, because a
 * port that lwIP chooses is nobody's. A port that no PCB has had for 5 s is given back. With another API than the raw
 * one: lvif_netif_claim_port(), then netconn_bind() within these 5 s.
 */
#ifndef LIBRETTOS_LVIF_NETIF_H
#define LIBRETTOS_LVIF_NETIF_H

#ifdef __cplusplus
extern "C" {
#endif
#include <lwip/opt.h> /* a port's lwipopts.h may declare functions without saying that they are C's */
#ifdef __cplusplus
}
#endif

#include <lwip/err.h>
#include <lwip/ip_addr.h>
#include <lwip/netif.h>

#ifdef __cplusplus
extern "C" {
#endif

struct tcp_pcb;
struct udp_pcb;
struct lvif_vf; /* guest-frontend/dpdk/lvif_dpdk.h */

struct lvif_netif_options {
    char const* name;              /* of the domain; on Xen, where the toolstack decides: NULL */
    char const* hypervisor_socket; /* NULL: $LIBRETTOS_HYPERVISOR_SOCKET, else the default */
    int dedicated;                 /* an address of its own */
    u32_t ring_bytes;              /* 0: the default */
    struct lvif_vf* vf;            /* for the server to switch this interface to, and back; a dedicated one; or NULL */
};

/* After tcpip_init(), without the core lock. Waits for a server, 0: for ever. `netif` (any content, the caller's until
 * it is removed) is then up and the default one; its link is up when the wire's is. One per process. ERR_TIMEOUT: no
 * server; ERR_IF: refused (standard error says why); ERR_ALREADY. */
err_t lvif_netif_add(struct netif* netif, struct lvif_netif_options const* options, u32_t wait_ms);
/* Leaves the server in order. Without the core lock. */
void lvif_netif_remove(struct netif* netif);

/* Any thread, with the core lock or without: asks the hypervisor, in 50 us or so, or the server where that keeps the
 * portmap, which may take 5 s. protocol: IP_PROTO_TCP or IP_PROTO_UDP. *port 0: one is chosen (0 stays 0 where lwIP may
 * choose). ERR_USE: another guest's, or no quota left; ERR_IF: nobody answers. */
err_t lvif_netif_claim_port(struct netif* netif, u8_t protocol, u16_t* port);

/* Claim, then bind. With the core lock. Errors of both. */
err_t lvif_netif_tcp_bind(struct netif* netif, struct tcp_pcb* pcb, ip_addr_t const* address, u16_t port);
err_t lvif_netif_udp_bind(struct netif* netif, struct udp_pcb* pcb, ip_addr_t const* address, u16_t port);

#ifdef __cplusplus
}
#endif

#endif
