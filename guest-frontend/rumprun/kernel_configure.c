/* SPDX-License-Identifier: BSD-2-Clause */
/* Kernel half: what happens at boot. The interface is made and configured as the server's offer says before an application starts, so
 * that a unikernel's configuration needs no word about the network. */
#include <sys/cdefs.h>
#include <sys/param.h>
#include <sys/socket.h>
#include <sys/systm.h>

#include <net/if.h>
#include <netinet/in.h>
#include <netinet/in_var.h>

#include <rump-sys/kern.h>

#include <rump/netconfig.h>

#include "hypercalls.h"
#include "kernel_claims.h"

#define INTERFACE "lvif0"

extern int ip6_dad_count __attribute__((__weak__));

static bool is_set(unsigned char const *address, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++) {
		if (address[i] != 0)
			return true;
	}
	return false;
}

static void write_ipv4(char *text, size_t size, unsigned char const *address)
{
	snprintf(text, size, "%u.%u.%u.%u", address[0], address[1], address[2], address[3]);
}

static void write_ipv6(char *text, size_t size, unsigned char const *address)
{
	size_t length = 0;

	for (int i = 0; i < 16 && length < size; i += 2)
		length += (size_t)snprintf(text + length, size - length, "%s%x", i == 0 ? "" : ":",
		                           (unsigned)address[i] << 8 | address[i + 1]);
}

static int set_ipv4(const struct lvif_addresses *offered)
{
	char text[16];
	int error;

	if (!is_set(offered->ipv4, sizeof(offered->ipv4)))
		return 0;
	write_ipv4(text, sizeof(text), offered->ipv4);
	error = rump_netconfig_ipv4_ifaddr_cidr(INTERFACE, text, offered->ipv4_prefix);
	if (error != 0 || !is_set(offered->gateway4, sizeof(offered->gateway4)))
		return error;
	write_ipv4(text, sizeof(text), offered->gateway4);
	return rump_netconfig_ipv4_gw(text);
}

static int set_ipv6(const struct lvif_addresses *offered)
{
	char text[40];
	int error;

	if (!is_set(offered->ipv6, sizeof(offered->ipv6)))
		return 0;
	write_ipv6(text, sizeof(text), offered->ipv6);
	error = rump_netconfig_ipv6_ifaddr(INTERFACE, text, offered->ipv6_prefix);
	if (error == EAFNOSUPPORT)
		return 0; /* a unikernel without librumpnet_netinet6 */
	if (error != 0 || !is_set(offered->gateway6, sizeof(offered->gateway6)))
		return error;
	write_ipv6(text, sizeof(text), offered->gateway6);
	return rump_netconfig_ipv6_gw(text);
}

/* Without looking for duplicates first, which takes seconds: the server answers for the addresses. */
static void use_addresses_at_once(void)
{
	ip_dad_count = 0;
	if (&ip6_dad_count != NULL)
		ip6_dad_count = 0;
}

static int configure(void)
{
	struct lvif_addresses offered;
	int error = rump_netconfig_ifcreate(INTERFACE); /* waits for a server, for ever */

	if (error == 0 && !rumpcomp_lvif_addresses(&offered))
		error = ENXIO;
	if (error != 0)
		return error;
	ifunit(INTERFACE)->if_mtu = (uint64_t)offered.mtu;
	use_addresses_at_once();
	error = rump_netconfig_ifup(INTERFACE);
	if (error == 0)
		error = set_ipv4(&offered);
	return error != 0 ? error : set_ipv6(&offered);
}

/* After the stack has its domains, before it has sockets. */
RUMP_COMPONENT(RUMP_COMPONENT_NET_IF)
{
	lvif_hook_domain(PF_INET);
	lvif_hook_domain(PF_INET6);
}

RUMP_COMPONENT(RUMP_COMPONENT_POSTINIT)
{
	int error;

	printf("lvif: waiting for a server\n");
	error = configure();
	if (error != 0)
		printf("lvif: " INTERFACE " is not configured: error %d\n", error);
	lvif_claim_ports();
}
