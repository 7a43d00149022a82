// SPDX-License-Identifier: BSD-2-Clause
// The model's wire as a Linux interface (AF_PACKET) or as a socket that carries one frame per message.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "tests/nic82599/machine.hpp"

namespace nic82599 {

class WireInterface {
  public:
    // A bound packet socket on the interface; throws std::system_error.
    static int open_interface(std::string const& name);

    // Takes the descriptor over. Frames shorter than 60 bytes, which Linux does not pad, are padded.
    explicit WireInterface(int fd) : fd_(fd) {}
    ~WireInterface();
    WireInterface(WireInterface const&) = delete;
    WireInterface& operator=(WireInterface const&) = delete;

    // From a thread of its own, until the end.
    void listen(std::function<void(Frame const&)> arrived);
    // Drops the frame when the socket is full, as a wire has no room either.
    void send(std::span<std::uint8_t const> frame);

    // Frames that never were on the model's wire: the kernel had no room for them in the socket, in either direction.
    struct Dropped {
        std::uint64_t in = 0, out = 0;
    };
    Dropped dropped();

  private:
    bool receive(std::function<void(Frame const&)> const& arrived);

    int fd_;
    int end_ = -1;                    // eventfd
    std::vector<std::uint8_t> room_;  // for a frame that arrives
    std::atomic<std::uint64_t> dropped_in_ = 0, dropped_out_ = 0;
    std::thread thread_;
};

}  // namespace nic82599
