// SPDX-License-Identifier: BSD-2-Clause
// The C interface of lvif_netif.h.
#include "guest-frontend/lwip/lvif_netif.h"

#include <lwip/tcp.h>
#include <lwip/tcpip.h>
#include <lwip/timeouts.h>
#include <lwip/udp.h>

#include <cerrno>
#include <exception>
#include <memory>

#include "guest-frontend/lwip/lwip_stack.hpp"
#include "guest-frontend/process/say.hpp"
#include "guest-frontend/process/stack_device.hpp"
#include "guest-frontend/process/vf.hpp"

namespace {

using namespace librettos::guest;

constexpr u32_t look_at_ports_ms = 1000;

struct Guest {
    explicit Guest(netif& interface) : stack(interface) {}
    LwipStack stack;
    std::unique_ptr<StackDevice> device;
};

std::unique_ptr<Guest> the_guest;  // lvif_netif_add() and lvif_netif_remove()

// In lwIP's own thread, with the core lock.
void look_at_ports(void* guest) {
    give_back_unused_ports(static_cast<Guest*>(guest)->device->ports());
    sys_timeout(look_at_ports_ms, look_at_ports, guest);
}

void end_guest() {
    the_guest->stack.leave();
    the_guest->device.reset();
    LOCK_TCPIP_CORE();
    the_guest->stack.remove();
    UNLOCK_TCPIP_CORE();
    the_guest.reset();
}

GuestOptions guest_options(lvif_netif_options const& options) {
    GuestOptions result;
    result.name = options.name != nullptr ? options.name : "";
    result.hypervisor_socket = options.hypervisor_socket != nullptr ? options.hypervisor_socket : "";
    result.dedicated = options.dedicated != 0;
    result.ring_bytes = options.ring_bytes;
    return result;
}

err_t lwip_error(int result) {
    return result == 0 ? ERR_OK : result == -EADDRINUSE ? ERR_USE : ERR_IF;
}

}  // namespace

err_t lvif_netif_add(netif* interface, lvif_netif_options const* options, u32_t wait_ms) {
    if (the_guest) {
        return ERR_ALREADY;
    }
    try {
        the_guest = std::make_unique<Guest>(*interface);
        the_guest->device = std::make_unique<StackDevice>(guest_options(*options), "lwip", the_guest->stack,
                                                          reinterpret_cast<Vf*>(options->vf));
        auto const longest = wait_ms == 0 ? StackDevice::for_ever : std::chrono::milliseconds(wait_ms);
        if (!the_guest->device->wait_until_connected(longest)) {
            end_guest();
            return ERR_TIMEOUT;
        }
    } catch (std::exception const& error) {
        say(error.what());
        end_guest();
        return ERR_IF;
    }
    LOCK_TCPIP_CORE();
    sys_timeout(look_at_ports_ms, look_at_ports, the_guest.get());
    UNLOCK_TCPIP_CORE();
    return ERR_OK;
}

void lvif_netif_remove(netif* /*interface*/) {
    if (!the_guest) {
        return;
    }
    LOCK_TCPIP_CORE();
    sys_untimeout(look_at_ports, the_guest.get());
    UNLOCK_TCPIP_CORE();
    end_guest();
}

err_t lvif_netif_claim_port(netif* /*interface*/, u8_t protocol, u16_t* port) {
    if (!the_guest || (protocol != IP_PROTO_TCP && protocol != IP_PROTO_UDP)) {
        return ERR_ARG;
    }
    auto const kind = static_cast<Protocol>(protocol);
    StackPorts& ports = the_guest->device->ports();
    the_guest->device->frames().flush();  // the caller may hold the core lock, and the answer take long
    return lwip_error(*port == 0 ? ports.claim_any(kind, *port) : ports.claim(kind, *port));
}

err_t lvif_netif_tcp_bind(netif* interface, tcp_pcb* pcb, ip_addr_t const* address, u16_t port) {
    err_t const result = lvif_netif_claim_port(interface, IP_PROTO_TCP, &port);
    return result == ERR_OK ? tcp_bind(pcb, address, port) : result;
}

err_t lvif_netif_udp_bind(netif* interface, udp_pcb* pcb, ip_addr_t const* address, u16_t port) {
    err_t const result = lvif_netif_claim_port(interface, IP_PROTO_UDP, &port);
    return result == ERR_OK ? udp_bind(pcb, address, port) : result;
}
