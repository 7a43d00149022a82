// SPDX-License-Identifier: BSD-2-Clause
// The portmap in a real hypervisor under the conformance suite. Runs in dom0, alone: it takes the whole table for
// itself. Each guest is a real domain; the server's side is the product's own
// (drivers/hypervisor/xen/hypercall_portmap.hpp).
#include <netinet/in.h>
#include <sys/mman.h>
#include <xen/xen.h>

#include <cerrno>
#include <functional>
#include <map>
#include <stdexcept>
#include <system_error>
#include <thread>

#include "drivers/hypervisor/xen/hypercall_portmap.hpp"
#include "port_hypercall.h"
#include "tests/unit/portmap/conformance.hpp"
#include "tests/xen/portmap/tiny_guest.h"

namespace librettos::test {

namespace {

// Calls of dom0 that the server's side has no function for.
class Control {
  public:
    Control() {
        if (lvif_xencall_open(&xencall_) != 0)
            throw std::runtime_error{"no hypercalls: is this dom0?"};
    }
    ~Control() { lvif_xencall_close(xencall_); }
    Control(Control const&) = delete;
    Control& operator=(Control const&) = delete;

    lvif_portmap_caller caller() const { return lvif_xencall_caller(xencall_); }
    template <typename Structure>
    int call(lvif_portmap_operation operation, Structure& structure) const {
        lvif_portmap_caller const calls = caller();
        return calls.call(calls.context, operation, &structure, sizeof(structure));
    }
    int set_quarantine(std::chrono::seconds time) const {
        lvif_portmap_domain quarantine{};
        quarantine.value = static_cast<std::uint32_t>(time.count());
        return call(LVIF_PORTMAP_OP_SET_QUARANTINE, quarantine);
    }

  private:
    lvif_xencall* xencall_ = nullptr;
};

struct EndGuest {
    void operator()(tiny_guest* guest) const { tiny_guest_destroy(guest); }
};
using TinyGuest = std::unique_ptr<tiny_guest, EndGuest>;

lvif_portmap_ports ports_of(std::uint8_t protocol, std::uint16_t port, std::uint32_t count, bool on = false) {
    lvif_portmap_ports ports{};
    ports.protocol = protocol;
    ports.on = on ? 1 : 0;
    ports.port = port;
    ports.count = count;
    return ports;
}

int status_of(std::function<void()> const& operation) {
    try {
        operation();
        return 0;
    } catch (std::system_error const& error) {
        return -error.code().value();
    }
}

class HypercallAuthority final : public AuthorityUnderTest {
  public:
    explicit HypercallAuthority(std::chrono::seconds quarantine) : portmap_{HypercallPortmap::open_if_present()} {
        if (portmap_ == nullptr)
            throw std::runtime_error{"this hypervisor has no portmap"};
        empty_table();
        if (control_.set_quarantine(quarantine) != 0)
            throw std::runtime_error{"the quarantine cannot be set"};
    }
    ~HypercallAuthority() override {
        guests_.clear();
        empty_table();
    }

    Guest create_guest(std::string const& name) override {
        TinyGuest made{tiny_guest_create()};
        if (made == nullptr)
            throw std::runtime_error{"no guest"};
        Guest const guest{++last_handle_, DomId{tiny_guest_domain(made.get())}};
        guests_.emplace(guest.handle, std::move(made));
        portmap_->set_name(guest.domain, name);
        return guest;
    }
    void destroy_guest(Guest guest) override { guests_.erase(guest.handle); }

    int bind(Guest guest, std::uint8_t protocol, std::uint16_t port, std::uint16_t* bound) override {
        return claim(guest, LVIF_PORTMAP_OP_BIND, ports_of(protocol, port, 0), bound);
    }
    int lease(Guest guest, std::uint8_t protocol, std::uint16_t count, std::uint16_t* first) override {
        return claim(guest, LVIF_PORTMAP_OP_LEASE, ports_of(protocol, 0, count), first);
    }
    int release(Guest guest, std::uint8_t protocol, std::uint16_t first, std::uint16_t count) override {
        lvif_portmap_ports ports = ports_of(protocol, first, count);
        return call_as(guest, LVIF_PORTMAP_OP_RELEASE, ports);
    }
    int set_limit(DomId domain, std::uint32_t ports) override {
        return status_of([&] { portmap_->set_limit(domain, ports); });
    }
    int reserve(std::uint8_t protocol, std::uint16_t first, std::uint16_t count, bool on) override {
        return status_of([&] { portmap_->reserve(protocol, first, count, on); });
    }
    int query(std::uint8_t protocol, std::uint16_t port, QueryAnswer& answer) override {
        return status_of([&] {
            PortInfo const info = portmap_->query(protocol, port);
            answer = {info.entry,       info.age_s,       info.quarantine_left_s,
                      info.owner_ports, info.owner_limit, info.owner_name};
        });
    }

    bool checks_privileges() const override { return true; }
    int set_limit_as(Guest caller, DomId domain, std::uint32_t ports) override {
        lvif_portmap_domain limit{};
        limit.domain = domain.value;
        limit.value = ports;
        return call_as(caller, LVIF_PORTMAP_OP_SET_LIMIT, limit);
    }
    int reserve_as(Guest caller, std::uint8_t protocol, std::uint16_t first, std::uint16_t count) override {
        lvif_portmap_ports ports = ports_of(protocol, first, count, true);
        return call_as(caller, LVIF_PORTMAP_OP_RESERVE, ports);
    }
    int query_as(Guest caller, std::uint8_t protocol, std::uint16_t port) override {
        lvif_portmap_query query{};
        query.protocol = protocol;
        query.port = port;
        return call_as(caller, LVIF_PORTMAP_OP_QUERY, query);
    }
    int map_as(Guest caller) override {
        lvif_portmap_table table{};
        return call_as(caller, LVIF_PORTMAP_OP_TABLE, table);
    }
    int bind_as_control(std::uint8_t protocol, std::uint16_t port) override {
        lvif_portmap_caller const caller = control_.caller();
        return lvif_portmap_bind(&caller, protocol, port, nullptr);
    }
    lvif_portmap const& table() override { return portmap_->table(); }

    bool server_can_write() override {
        lvif_portmap_table table{};
        if (control_.call(LVIF_PORTMAP_OP_TABLE, table) != 0)
            throw std::runtime_error{"the table's frames"};
        for (std::uint32_t const domain : {std::uint32_t{DOMID_SELF}, std::uint32_t{DOMID_XEN}}) {
            xen_pfn_t const frame = table.first_frame + 1;
            void* const mapped =
                ::xenforeignmemory_map(memory_.get(), domain, PROT_READ | PROT_WRITE, 1, &frame, nullptr);
            if (mapped != nullptr)
                return true;
        }
        return false;
    }
    void pass(std::chrono::milliseconds time) override { std::this_thread::sleep_for(time); }
    bool has_test_clock() const override { return false; }

  private:
    template <typename Structure>
    int call_as(Guest guest, lvif_portmap_operation operation, Structure& structure) {
        return tiny_guest_call(guests_.at(guest.handle).get(), operation, &structure, sizeof(structure));
    }
    int claim(Guest guest, lvif_portmap_operation operation, lvif_portmap_ports ports, std::uint16_t* result) {
        int const status = call_as(guest, operation, ports);
        if (status == 0)
            *result = ports.port;
        return status;
    }
    void empty_table() {
        control_.set_quarantine(std::chrono::seconds{0});
        for (std::uint8_t const protocol : {std::uint8_t{IPPROTO_TCP}, std::uint8_t{IPPROTO_UDP}})
            reserve(protocol, 1, 65535, false);
    }

    struct CloseMemory {
        void operator()(xenforeignmemory_handle* handle) const { ::xenforeignmemory_close(handle); }
    };

    std::unique_ptr<xenforeignmemory_handle, CloseMemory> memory_{::xenforeignmemory_open(nullptr, 0)};
    Control control_;
    std::unique_ptr<HypercallPortmap> portmap_;
    std::map<int, TinyGuest> guests_;
    int last_handle_ = 0;
};

}  // namespace

INSTANTIATE_TEST_SUITE_P(Hypercall, PortmapConformance,
                         testing::Values(AuthorityFactory{[](std::chrono::seconds quarantine) {
                             return std::make_unique<HypercallAuthority>(quarantine);
                         }}));

}  // namespace librettos::test
