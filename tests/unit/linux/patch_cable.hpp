// SPDX-License-Identifier: BSD-2-Clause
// The smallest server there can be: offers two guests an address each and passes what one sends to the other.
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "guest-frontend/linux/lvif.hpp"

namespace librettos::guest {

// A server of librettos-hypervisord: plays the server's side of handshake.h for the guests of two names, whenever they
// come. Its destruction is a crash: nothing is taken back, and the next one goes on with the guests and rings that it
// finds. Guest n (0, 1) gets 192.0.2.<10 + n>/24.
class PatchCable {
  public:
    PatchCable(std::string const& socket, std::array<std::string, 2> names);
    ~PatchCable();
    PatchCable(PatchCable const&) = delete;
    PatchCable& operator=(PatchCable const&) = delete;

    // Detaches guest n, and takes it again when it has come back.
    void detach(unsigned guest) { detach_[guest].store(true); }
    unsigned connections(unsigned guest) const { return connections_[guest].load(); }
    // Says one of the switch's messages (librettos/vf_switch.h) to guest n, which has been greeted. Its reply: 0, or a
    // negative errno; -ETIME: none came.
    int say(unsigned guest, lvif_message_type message);
    // Frames with GSO_TCP4 that went through.
    unsigned large_frames() const { return large_frames_.load(); }

  private:
    struct Plug;

    void run();
    void find_guests();
    void attend(unsigned guest);
    void offer(unsigned guest);
    void take_rings(unsigned guest, bool again);
    void exchange_messages(unsigned guest);
    void send(Plug& plug, lvif_message const& message);
    bool pass_frames(Plug& from, Plug& to);

    std::string read(std::string const& path) const;
    void write(std::string const& path, std::string const& value) const;

    lvif_hv* hypervisor_ = nullptr;
    std::array<std::string, 2> names_;
    std::array<std::unique_ptr<Plug>, 2> plugs_;
    std::array<std::atomic<bool>, 2> detach_{};
    std::array<std::atomic<unsigned>, 2> connections_{};
    std::atomic<unsigned> large_frames_ = 0;
    std::mutex mutex_;  // guards what follows
    std::condition_variable answered_;
    std::array<std::optional<lvif_message>, 2> to_say_;
    std::array<std::optional<int>, 2> answer_;
    std::atomic<bool> stop_ = false;
    std::thread thread_;
};

}  // namespace librettos::guest
