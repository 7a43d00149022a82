// SPDX-License-Identifier: BSD-2-Clause
// A real librettos-hypervisord under the conformance suite, through its C client.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <map>
#include <stdexcept>
#include <thread>

#include "hypervisord_protocol.h"
#include "tests/unit/local/hypervisord_process.hpp"
#include "tests/unit/local/raw_connection.hpp"
#include "tests/unit/portmap/conformance.hpp"

namespace librettos::test {

namespace {

bool can_map_for_writing(int fd) {
    void* address = ::mmap(nullptr, LVIF_PORTMAP_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    return address != MAP_FAILED && ::munmap(address, LVIF_PORTMAP_BYTES) == 0;
}

class HypervisordAuthority final : public AuthorityUnderTest {
  public:
    explicit HypervisordAuthority(std::chrono::seconds quarantine)
        : process_{{"--quarantine", std::to_string(quarantine.count())}},
          control_{process_, LVIF_HV_CONTROL},
          server_{process_, LVIF_HV_SERVER} {
        if (lvif_hv_portmap_map(server_, &table_) != 0)
            throw std::runtime_error{"mapping the portmap"};
    }

    Guest create_guest(std::string const& name) override {
        Guest guest{++last_handle_, {}};
        auto const entry = guests_.try_emplace(guest.handle, process_, LVIF_HV_GUEST, name.c_str()).first;
        guest.domain = DomId{lvif_hv_self(entry->second)};
        return guest;
    }
    void destroy_guest(Guest guest) override {
        guests_.erase(guest.handle);
        std::string const path = "/local/domain/" + std::to_string(guest.domain.value) + "/name";
        char value[LVIF_HV_VALUE_MAX + 1];
        if (!eventually([&] { return lvif_hv_read(control_, path.c_str(), value, sizeof(value)) == -ENOENT; }))
            throw std::runtime_error{path + " stays"};
    }
    int bind(Guest guest, std::uint8_t protocol, std::uint16_t port, std::uint16_t* bound) override {
        return lvif_hv_port_bind(guests_.at(guest.handle), protocol, port, bound);
    }
    int lease(Guest guest, std::uint8_t protocol, std::uint16_t count, std::uint16_t* first) override {
        return lvif_hv_port_lease(guests_.at(guest.handle), protocol, count, first);
    }
    int release(Guest guest, std::uint8_t protocol, std::uint16_t first, std::uint16_t count) override {
        return lvif_hv_port_release(guests_.at(guest.handle), protocol, first, count);
    }
    int set_limit(DomId domain, std::uint32_t ports) override {
        return lvif_hv_port_set_limit(control_, domain.value, ports);
    }
    int reserve(std::uint8_t protocol, std::uint16_t first, std::uint16_t count, bool on) override {
        return lvif_hv_port_reserve(control_, protocol, first, count, on);
    }
    int query(std::uint8_t protocol, std::uint16_t port, QueryAnswer& answer) override {
        lvif_port_info info{};
        int const status = lvif_hv_port_query(server_, protocol, port, &info);
        answer = {info.entry, info.age_s, info.quarantine_left_s, info.owner_ports, info.owner_limit, info.owner_name};
        return status;
    }
    bool checks_privileges() const override { return true; }
    int set_limit_as(Guest caller, DomId domain, std::uint32_t ports) override {
        return lvif_hv_port_set_limit(guests_.at(caller.handle), domain.value, ports);
    }
    int reserve_as(Guest caller, std::uint8_t protocol, std::uint16_t first, std::uint16_t count) override {
        return lvif_hv_port_reserve(guests_.at(caller.handle), protocol, first, count, true);
    }
    int query_as(Guest caller, std::uint8_t protocol, std::uint16_t port) override {
        lvif_port_info info{};
        return lvif_hv_port_query(guests_.at(caller.handle), protocol, port, &info);
    }
    int map_as(Guest caller) override {
        lvif_portmap const* table = nullptr;
        return lvif_hv_portmap_map(guests_.at(caller.handle), &table);
    }
    int bind_as_control(std::uint8_t protocol, std::uint16_t port) override {
        std::uint16_t bound = 0;
        return lvif_hv_port_bind(control_, protocol, port, &bound);
    }
    lvif_portmap const& table() override { return *table_; }

    bool server_can_write() override {
        void* mapped = const_cast<lvif_portmap*>(table_);
        if (::mprotect(mapped, LVIF_PORTMAP_BYTES, PROT_READ | PROT_WRITE) == 0)
            return true;
        RawConnection raw{process_.socket()};
        raw.hello(LVIF_HV_CONTROL, "");
        int const fd = raw.call(LVIF_HVP_PORTMAP, {}).fds.at(0);
        // The description itself, and whatever /proc gives for it.
        bool can = can_map_for_writing(fd) || ::pwrite(fd, "x", 1, 0) == 1 || ::ftruncate(fd, 0) == 0;
        int const again = ::open(("/proc/self/fd/" + std::to_string(fd)).c_str(), O_RDWR | O_CLOEXEC);
        if (again >= 0) {
            can = can || can_map_for_writing(again) || ::pwrite(again, "x", 1, 0) == 1 || ::ftruncate(again, 0) == 0;
            ::close(again);
        }
        ::close(fd);
        return can;
    }
    void pass(std::chrono::milliseconds time) override { std::this_thread::sleep_for(time); }
    bool has_test_clock() const override { return false; }

  private:
    HypervisordProcess process_;
    Client control_;
    Client server_;
    std::map<int, Client> guests_;
    lvif_portmap const* table_ = nullptr;
    int last_handle_ = 0;
};

}  // namespace

INSTANTIATE_TEST_SUITE_P(Hypervisord, PortmapConformance,
                         testing::Values(AuthorityFactory{[](std::chrono::seconds quarantine) {
                             return std::make_unique<HypervisordAuthority>(quarantine);
                         }}));

}  // namespace librettos::test
