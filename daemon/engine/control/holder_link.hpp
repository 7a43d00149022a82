// SPDX-License-Identifier: BSD-2-Clause
// The engine's end of the socket to the holder (holder_messages.hpp).
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "daemon/engine/datapath/addresses.hpp"
#include "daemon/engine/holder_messages.hpp"
#include "portmap/domain_id.hpp"

namespace librettos::control {

class HolderLink {
  public:
    // `fd` is borrowed and made non-blocking; -1: there is no holder (tests), requests go nowhere.
    explicit HolderLink(int fd);

    int fd() const { return fd_; }
    void send_ready();
    // Their outcome is logged when `done` comes; a MAC that the port refuses does not take the guest down.
    void add_mac(MacAddress const& mac);
    void remove_mac(MacAddress const& mac);
    // The `done` message that answers it is among take_messages(), with the id that is returned here.
    std::uint32_t operate_vf(DomId guest, VfOperation operation, std::uint16_t vf, MacAddress const& mac,
                             std::uint16_t vlan);

    // What has arrived, `done` messages of MAC addresses already dealt with. Throws std::system_error (EPROTO) for a
    // message that is none.
    std::vector<HolderMessage> take_messages();
    bool ended() const { return ended_; }
    // Sends what did not fit before; true while something is left.
    bool flush();

  private:
    struct Asked {
        std::uint32_t id;
        MacAddress mac;
        bool add;
    };
    void ask(HolderMessageType type, MacAddress const& mac);
    void finish(HolderMessage const& message);

    int fd_;
    bool ended_ = false;
    std::uint32_t next_id_ = 1;
    std::deque<HolderMessage>
        unsent_;  // bounded by what guests there are: a few for each life, and each step, of a dedicated one
    std::vector<Asked> asked_;
};

}  // namespace librettos::control
