/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Kernel half: claims of ports without the application's knowledge.
 *
 * The sockets of TCP and UDP get request tables of ours (struct pr_usrreqs), which ask first and go on to NetBSD's. A domain's list
 * of protocols is constant, so the domain gets a copy of it. What names a port claims it; what lets the stack choose one lets it choose
 * from a block of 512 that was leased (anonportmin, anonportmax), and from the next one when that is used up. A port is given back by a
 * thread that looks once a second which claimed ones no socket has any more: a connection outlives its socket. Leased blocks stay.
 *
 * All under softnet_lock, which the stack's requests hold; the thread that gives back drops it while it asks.
 */
#include <sys/cdefs.h>
#include <sys/domain.h>
#include <sys/kernel.h>
#include <sys/kmem.h>
#include <sys/kthread.h>
#include <sys/lwp.h>
#include <sys/mutex.h>
#include <sys/param.h>
#include <sys/proc.h>
#include <sys/protosw.h>
#include <sys/socket.h>
#include <sys/socketvar.h>

#include <net/route.h>
#include <netinet/in.h>
#include <netinet/in_systm.h>
#include <netinet/in_var.h>
#include <netinet/ip.h>

#include <netinet/ip6.h>
#include <netinet/ip_var.h>

#include <netinet/in_pcb.h>
#include <netinet/tcp.h>
#include <netinet/tcp_timer.h>
#include <netinet/tcp_var.h>
#include <netinet/udp.h>

#include <netinet/udp_var.h>

#include <netinet6/in6_pcb.h>

#include "hypercalls.h"
#include "kernel_claims.h"

#define BLOCK_PORTS 512u
#define BLOCKS 32u
#define PORTS 65536u

/* Of librumpnet_netinet6, which a unikernel need not have. */
extern int ip6_anonportmin __attribute__((__weak__));
extern int ip6_anonportmax __attribute__((__weak__));
struct in6pcb *in6_pcblookup_port(struct inpcbtable *, struct in6_addr *, u_int, int, struct vestigial_inpcb *)
        __attribute__((__weak__));

struct hooked_requests {
	struct pr_usrreqs ours;
	const struct pr_usrreqs *real;
};

struct port_set {
	uint32_t word[PORTS / 32u];
};

static struct hooked_requests hooked[4];
static unsigned hooks;
static struct port_set claimed[2]; /* TCP, UDP: single ports of ours */
static struct port_set leaving[2]; /* no socket has them; to be given back */
static unsigned block_first[BLOCKS];
static unsigned blocks;
static bool claiming; /* the interface is there, and the guest shares its address */

static bool has(const struct port_set *set, unsigned port)
{
	return (set->word[port / 32u] >> (port % 32u) & 1u) != 0;
}

static void put(struct port_set *set, unsigned port, bool in)
{
	const uint32_t bit = (uint32_t)1 << (port % 32u);

	if (in)
		set->word[port / 32u] |= bit;
	else
		set->word[port / 32u] &= ~bit;
}

static int set_of(int protocol)
{
	return protocol == IPPROTO_TCP ? 0 : 1;
}

static bool in_block(unsigned port)
{
	for (unsigned i = 0; i < blocks; i++) {
		if (port >= block_first[i] && port < block_first[i] + BLOCK_PORTS)
			return true;
	}
	return false;
}

static int claim(int protocol, unsigned port)
{
	int const set = set_of(protocol);
	int error;

	if (!claiming || in_block(port) || has(&claimed[set], port))
		return 0;
	error = rumpcomp_lvif_port_claim(protocol, port);
	if (error == 0) {
		put(&leaving[set], port, false);
		put(&claimed[set], port, true);
	}
	return error;
}

static bool lease_block(void)
{
	unsigned first;

	if (blocks == BLOCKS || rumpcomp_lvif_ports_lease(BLOCK_PORTS, &first) != 0)
		return false;
	block_first[blocks++] = first;
	anonportmin = (int)first;
	anonportmax = (int)(first + BLOCK_PORTS - 1);
	if (&ip6_anonportmin != NULL) {
		ip6_anonportmin = anonportmin;
		ip6_anonportmax = anonportmax;
	}
	return true;
}

static bool is_ipv6(const struct socket *so)
{
	return so->so_proto->pr_domain->dom_family == PF_INET6;
}

static const struct hooked_requests *hook_of(const struct socket *so)
{
	return (const struct hooked_requests *)(void const *)so->so_proto->pr_usrreqs;
}

/* Network byte order; 0: none yet, or no control block. */
static in_port_t local_port(const struct socket *so)
{
	if (so->so_pcb == NULL)
		return 0;
	return is_ipv6(so) ? sotoin6pcb(so)->in6p_lport : sotoinpcb(so)->inp_lport;
}

static in_port_t *port_in(struct sockaddr *address)
{
	if (address->sa_family == AF_INET6 && address->sa_len == sizeof(struct sockaddr_in6))
		return &((struct sockaddr_in6 *)(void *)address)->sin6_port;
	if (address->sa_family == AF_INET && address->sa_len == sizeof(struct sockaddr_in))
		return &((struct sockaddr_in *)(void *)address)->sin_port;
	return NULL;
}

/* Nobody shares these addresses. */
static bool is_loopback(const struct sockaddr *address)
{
	if (address->sa_family == AF_INET6)
		return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)(void const *)address)->sin6_addr);
	return ntohl(((const struct sockaddr_in *)(void const *)address)->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
}

/* The stack chooses, from the present block or another. A port outside of the blocks (IP_PORTRANGE_LOW) is claimed afterwards. */
static int bind_unnamed(struct socket *so, struct sockaddr *address, struct lwp *l)
{
	const struct pr_usrreqs *const real = hook_of(so)->real;
	int error = (*real->pr_bind)(so, address, l);

	if (error == EAGAIN && claiming && lease_block())
		error = (*real->pr_bind)(so, address, l);
	return error != 0 ? error : claim(so->so_proto->pr_protocol, ntohs(local_port(so)));
}

static int hooked_bind(struct socket *so, struct sockaddr *address, struct lwp *l)
{
	in_port_t const *const port = port_in(address);
	int error;

	if (port == NULL || is_loopback(address) || local_port(so) != 0)
		return (*hook_of(so)->real->pr_bind)(so, address, l);
	if (*port == 0)
		return bind_unnamed(so, address, l);
	error = claim(so->so_proto->pr_protocol, ntohs(*port));
	return error != 0 ? error : (*hook_of(so)->real->pr_bind)(so, address, l);
}

/* What connect, listen and send do without a port, done before them. */
static int bind_if_unbound(struct socket *so, struct lwp *l)
{
	union {
		struct sockaddr sa;
		struct sockaddr_in in4;
		struct sockaddr_in6 in6;
	} any;

	if (local_port(so) != 0 || so->so_pcb == NULL)
		return 0;
	memcpy(&any, so->so_proto->pr_domain->dom_sa_any, is_ipv6(so) ? sizeof(any.in6) : sizeof(any.in4));
	return bind_unnamed(so, &any.sa, l);
}

static int hooked_connect(struct socket *so, struct sockaddr *address, struct lwp *l)
{
	int const error = bind_if_unbound(so, l);

	return error != 0 ? error : (*hook_of(so)->real->pr_connect)(so, address, l);
}

static int hooked_listen(struct socket *so, struct lwp *l)
{
	int const error = bind_if_unbound(so, l);

	return error != 0 ? error : (*hook_of(so)->real->pr_listen)(so, l);
}

/* Takes the mbufs, also on failure. */
static int hooked_send(struct socket *so, struct mbuf *m, struct sockaddr *address, struct mbuf *control, struct lwp *l)
{
	int const error = bind_if_unbound(so, l);

	if (error == 0)
		return (*hook_of(so)->real->pr_send)(so, m, address, control, l);
	m_freem(m);
	m_freem(control);
	return error;
}

static void hook(struct protosw *protocol)
{
	struct hooked_requests *const requests = &hooked[hooks++];

	requests->real = protocol->pr_usrreqs;
	requests->ours = *requests->real;
	requests->ours.pr_bind = hooked_bind;
	requests->ours.pr_connect = hooked_connect;
	if (protocol->pr_protocol == IPPROTO_TCP)
		requests->ours.pr_listen = hooked_listen;
	else
		requests->ours.pr_send = hooked_send;
	protocol->pr_usrreqs = &requests->ours;
}

void lvif_hook_domain(int family)
{
	struct domain *const domain = pffinddomain(family);
	size_t count;
	struct protosw *copy;

	if (domain == NULL)
		return;
	count = (size_t)(domain->dom_protoswNPROTOSW - domain->dom_protosw);
	copy = kmem_alloc(count * sizeof(*copy), KM_SLEEP);
	memcpy(copy, domain->dom_protosw, count * sizeof(*copy));
	for (size_t i = 0; i < count; i++) {
		bool const tcp = copy[i].pr_type == SOCK_STREAM && copy[i].pr_protocol == IPPROTO_TCP;
		bool const udp = copy[i].pr_type == SOCK_DGRAM && copy[i].pr_protocol == IPPROTO_UDP;

		if ((tcp || udp) && hooks < __arraycount(hooked))
			hook(&copy[i]);
	}
	domain->dom_protosw = copy;
	domain->dom_protoswNPROTOSW = copy + count;
}

static bool in_use(int protocol, unsigned port)
{
	struct inpcbtable *const table = protocol == IPPROTO_TCP ? &tcbtable : &udbtable;
	static const struct in_addr any4;
	struct in6_addr any6 = IN6ADDR_ANY_INIT;
	struct in6_addr mapped = IN6ADDR_ANY_INIT;
	const u_int wanted = htons((in_port_t)port);

	if (in_pcblookup_port(table, any4, wanted, 1, NULL) != NULL)
		return true;
	if (&in6_pcblookup_port == NULL)
		return false;
	mapped.s6_addr[10] = mapped.s6_addr[11] = 0xff;
	return in6_pcblookup_port(table, &any6, wanted, 1, NULL) != NULL ||
	       in6_pcblookup_port(table, &mapped, wanted, 1, NULL) != NULL;
}

static void sort_out_unused(int protocol)
{
	int const set = set_of(protocol);

	for (unsigned port = 1; port < PORTS; port++) {
		if (claimed[set].word[port / 32u] == 0) {
			port |= 31u;
			continue;
		}
		if (has(&claimed[set], port) && !in_use(protocol, port)) {
			put(&claimed[set], port, false);
			put(&leaving[set], port, true);
		}
	}
}

/* One; 0: none. */
static unsigned next_leaving(int protocol)
{
	const struct port_set *const set = &leaving[set_of(protocol)];

	for (unsigned i = 0; i < PORTS / 32u; i++) {
		if (set->word[i] != 0)
			return i * 32u + (unsigned)ffs((int)set->word[i]) - 1u;
	}
	return 0;
}

/* With softnet_lock, which is dropped meanwhile. A port that is claimed in between is asked for after it was given back: requests
 * keep their order. */
static void give_back_unused(int protocol)
{
	unsigned port;

	sort_out_unused(protocol);
	while ((port = next_leaving(protocol)) != 0) {
		int error;

		put(&leaving[set_of(protocol)], port, false);
		mutex_exit(softnet_lock);
		error = rumpcomp_lvif_port_release(protocol, port);
		mutex_enter(softnet_lock);
		if (error != 0) {
			if (!has(&claimed[set_of(protocol)], port))
				put(&leaving[set_of(protocol)], port, true);
			return;
		}
	}
}

static void give_back(void *unused)
{
	for (;;) {
		kpause("lvifports", false, hz, NULL);
		mutex_enter(softnet_lock);
		give_back_unused(IPPROTO_TCP);
		give_back_unused(IPPROTO_UDP);
		mutex_exit(softnet_lock);
	}
}

void lvif_claim_ports(void)
{
	bool leased;

	if (!rumpcomp_lvif_ports_shared())
		return;
	mutex_enter(softnet_lock);
	claiming = true;
	leased = lease_block();
	mutex_exit(softnet_lock);
	if (!leased)
		printf("lvif: no block of ports for outgoing connections\n");
	kthread_create(PRI_NONE, KTHREAD_MPSAFE, NULL, give_back, NULL, NULL, "lvifports");
}
