// SPDX-License-Identifier: BSD-2-Clause
#include "guest-frontend/lwip/lwip_stack.hpp"

#include <lwip/etharp.h>
#include <lwip/ethip6.h>
#include <lwip/nd6.h>
#include <lwip/pbuf.h>
#include <lwip/priv/tcp_priv.h>
#include <lwip/tcpip.h>
#include <lwip/udp.h>
#include <netif/ethernet.h>

#include <algorithm>
#include <bitset>
#include <cstring>

#include "guest-frontend/lwip/core_lock.hpp"

#if NO_SYS || !LWIP_TCPIP_CORE_LOCKING || !LWIP_IPV4 || !LWIP_ARP || ETH_PAD_SIZE != 0
#error "lvif_netif needs lwIP with NO_SYS 0, LWIP_TCPIP_CORE_LOCKING 1, IPv4, ARP and ETH_PAD_SIZE 0"
#endif

namespace librettos::guest {

namespace {

constexpr auto longest_unused = std::chrono::seconds(5);

ip4_addr_t ip4(std::uint8_t const* address) {
    ip4_addr_t result{};
    std::memcpy(&result.addr, address, sizeof result.addr);
    return result;
}

ip4_addr_t netmask(unsigned prefix) {
    ip4_addr_t result{};
    result.addr = prefix == 0 ? 0 : lwip_htonl(~std::uint32_t{0} << (32 - prefix));
    return result;
}

}  // namespace

void LwipStack::burst_begins() {
    LOCK_TCPIP_CORE();
}

void LwipStack::burst_ends() {
    UNLOCK_TCPIP_CORE();
}

void LwipStack::deliver(lvif_frame const& frame) {
    pbuf* const packet = pbuf_alloc(PBUF_RAW, static_cast<u16_t>(frame.length), PBUF_RAM);
    if (packet == nullptr) {
        return;  // as on any interface: no memory, no frame
    }
    pbuf_take(packet, frame.bytes, static_cast<u16_t>(frame.length));
    if (interface_.input(packet, &interface_) != ERR_OK) {
        pbuf_free(packet);
    }
}

// Segments that were refused are still unsent, and their connections marked.
void LwipStack::room() {
    CoreLock const lock;
    tcp_txnow();
}

void LwipStack::connected(Offer const& offer, FrameLink& frames) {
    CoreLock const lock;
    if (leaving_) {
        return;
    }
    frames_ = &frames;
    ip4_addr_t const address = ip4(offer.ipv4);
    ip4_addr_t const mask = netmask(offer.ipv4_prefix);
    ip4_addr_t const gateway = ip4(offer.gateway4);
    if (!added_) {
        interface_ = netif{};
        added_ = netif_add(&interface_, &address, &mask, &gateway, this, prepare, ethernet_input) != nullptr;
        netif_set_default(&interface_);
    } else {
        netif_set_addr(&interface_, &address, &mask, &gateway);
    }
    std::copy_n(offer.mac, sizeof offer.mac, interface_.hwaddr);
    netif_set_up(&interface_);
    set_ipv6(offer);
}

void LwipStack::set_ipv6(Offer const& offer) {
#if LWIP_IPV6
    constexpr s8_t slot = 1;  // 0 is a link-local address's
    interface_.ip6_autoconfig_enabled = 0;
#if LWIP_IPV6_SEND_ROUTER_SOLICIT
    interface_.rs_count = 0;
#endif
    if (std::all_of(std::begin(offer.ipv6), std::end(offer.ipv6), [](std::uint8_t byte) { return byte == 0; })) {
        return;
    }
    ip6_addr_t address{};
    std::memcpy(address.addr, offer.ipv6, sizeof offer.ipv6);
    netif_ip6_addr_set(&interface_, slot, &address);
    // Preferred at once, without looking for duplicates: the server answers for it.
    netif_ip6_addr_set_state(&interface_, slot, IP6_ADDR_PREFERRED);
#endif
}

void LwipStack::link(bool up, std::uint16_t mtu_bytes) {
    CoreLock const lock;
    if (!added_) {
        return;
    }
    if (mtu_bytes != 0) {
        interface_.mtu = mtu_bytes;
#if LWIP_IPV6 && LWIP_ND6_ALLOW_RA_UPDATES
        interface_.mtu6 = mtu_bytes;
#endif
    }
    if (up) {
        netif_set_link_up(&interface_);
    } else {
        netif_set_link_down(&interface_);
    }
}

void LwipStack::leave() {
    CoreLock const lock;
    leaving_ = true;
    frames_ = nullptr;
}

void LwipStack::remove() {
    if (added_) {
        netif_remove(&interface_);
        added_ = false;
    }
}

err_t LwipStack::prepare(netif* interface) {
    interface->name[0] = 'l';
    interface->name[1] = 'v';
    interface->hwaddr_len = ETH_HWADDR_LEN;
    interface->mtu = 1500;
    interface->flags =
        NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET | NETIF_FLAG_IGMP | NETIF_FLAG_MLD6;
    interface->output = etharp_output;
#if LWIP_IPV6
    interface->output_ip6 = ethip6_output;
#endif
    interface->linkoutput = output;
    return ERR_OK;
}

err_t LwipStack::output(netif* interface, pbuf* packet) {
    auto& self = *static_cast<LwipStack*>(interface->state);
    if (self.frames_ == nullptr) {
        return ERR_IF;
    }
    int const result = self.frames_->send(
        packet->tot_len, [packet](std::uint8_t* frame) { pbuf_copy_partial(packet, frame, packet->tot_len, 0); },
        leaves_with_core_lock(*self.frames_) ? FrameLink::Leaves::when_told : FrameLink::Leaves::at_once);
    switch (result) {
        case 0:
            return ERR_OK;
        case LVIF_EAGAIN:
            return ERR_MEM;  // tcp_output() keeps the segment, see room()
        case LVIF_ENOTCONN:
            return ERR_IF;
        default:
            return ERR_ARG;
    }
}

void give_back_unused_ports(StackPorts& ports) {
    static std::bitset<LVIF_PORTS> tcp;  // the core lock's
    static std::bitset<LVIF_PORTS> udp;
    tcp.reset();
    udp.reset();
    for (tcp_pcb** const list : tcp_pcb_lists) {
        for (tcp_pcb const* pcb = *list; pcb != nullptr; pcb = pcb->next) {
            tcp.set(pcb->local_port);
        }
    }
    for (udp_pcb const* pcb = udp_pcbs; pcb != nullptr; pcb = pcb->next) {
        udp.set(pcb->local_port);
    }
    ports.give_back_unused(longest_unused, [](Protocol protocol, std::uint16_t port) {
        return (protocol == Protocol::tcp ? tcp : udp).test(port);
    });
}

}  // namespace librettos::guest
