// SPDX-License-Identifier: BSD-2-Clause
// A scene with VFs: a holder with a NIC that obeys, and guests that do what librettos/vf_switch.h says, unless the test
// keeps them from it.
#pragma once

#include <deque>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "tests/unit/control/scene.hpp"

namespace librettos::test {

// What outlives engines: the holder, and what it does to the NIC.
class FakeHolder {
  public:
    FakeHolder();
    ~FakeHolder();
    FakeHolder(FakeHolder const&) = delete;
    FakeHolder& operator=(FakeHolder const&) = delete;

    int engine_fd() const { return fds_[0]; }
    // A new engine: knows nothing yet, and is told how VFs are.
    void engine_starts();
    // Carries out what was asked, unless held. True: something was.
    bool work();
    void set_vf(std::uint16_t vf, bool present, bool link_up);
    void count(std::uint16_t vf, VfTraffic const& traffic);

    struct Nic {
        std::map<std::uint16_t, MacAddress> given;
        std::map<std::uint16_t, std::uint16_t> vlan;     // of those given
        std::map<std::uint64_t, std::uint16_t> steered;  // MAC, as a number, to VF; else to the port
        std::uint32_t steered_by = 0;                    // id of the last request that did
    } nic;
    std::set<VfOperation> held;                 // not answered for now
    std::map<VfOperation, std::int32_t> fails;  // with this status
    std::vector<VfOperation> asked;
    bool counts = true;  // what goes through VFs

  private:
    struct State {
        bool present = true;
        bool link_up = false;
        VfTraffic traffic = {};
    };
    void tell(std::uint16_t vf);
    void do_it(HolderMessage const& request);

    int fds_[2] = {-1, -1};
    std::deque<HolderMessage> waiting_;
    std::map<std::uint16_t, State> vfs_;
};

std::uint64_t number_of(MacAddress const& mac);

// The guest's side of the switch.
struct VfGuest : FakeGuest {
    using FakeGuest::FakeGuest;

    void hello(std::uint32_t flags);
    // Takes messages and answers those of the switch. True: there was one.
    bool work(FakeHolder& holder);

    std::set<std::uint16_t> silent;                 // about these
    std::map<std::uint16_t, std::int32_t> refuses;  // with this status
    std::vector<std::uint16_t> told;                // of the switch, in order
    MacAddress mac;                                 // of the last PREPARE
    std::uint16_t vlan = 0;                         // likewise
    std::uint32_t serial = 0;                       // likewise
    bool up = false, direct = false;
};

class VfScene : public Scene {
  protected:
    explicit VfScene(std::vector<std::string> vfs = {"vf0"});

    void start_server();
    void connect_own(VfGuest& guest);
    // Until neither server, guests nor holder have anything left to do.
    void settle_all();
    void advance_all(Clock::duration time) {
        advance(time, [this] { settle_all(); });
    }
    Guest& found(VfGuest const& guest) { return *server->guests->find(guest.name); }
    void to_direct(VfGuest const& guest, std::uint16_t vf = 0);
    void to_server(VfGuest const& guest);
    // All agree that the guest has the VF, and the data plane knows.
    void expect_direct(VfGuest const& guest, std::uint16_t vf = 0);
    // All agree that it has none, and no VF is lost.
    void expect_at_server(VfGuest const& guest);

    FakeHolder holder;
    std::vector<VfGuest*> guests;
    static constexpr std::chrono::milliseconds timeout{500};
};

}  // namespace librettos::test
