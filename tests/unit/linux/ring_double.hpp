// SPDX-License-Identifier: BSD-2-Clause
// Rings for tests of the pump: behaves as liblvif and the hypervisor client do towards a data thread, and is linked in
// their place.
#pragma once

#include <sys/eventfd.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <vector>

#include "guest-frontend/linux/event_source.hpp"
#include "guest-frontend/linux/lvif.hpp"

struct RingFrame {
    std::vector<std::uint8_t> bytes;
    lvif_offload offload{};
};

// One queue pair. The public functions are the server's side, or the test's.
struct lvif_device {
  public:
    static constexpr std::uint32_t longest = LVIF_MAX_FRAME_BYTES;

    lvif_device() : event_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {}
    ~lvif_device() { close(event_); }
    lvif_device(lvif_device const&) = delete;
    lvif_device& operator=(lvif_device const&) = delete;

    // To the guest: all of them at once, then one notification if it sleeps.
    void deliver(std::vector<RingFrame> frames);
    // What came for the guest before its VF received is in the ring; or is not yet, for the next switch.
    void mark(bool marked = true);
    // The next frame of the guest; waits for it; empty after long.
    RingFrame take();
    // Frames of the guest go straight to `other`.
    void connect_to(lvif_device& other) { other_ = &other; }
    std::size_t waiting();              // frames that take() has at once
    void set_room(std::size_t frames);  // for the guest's frames
    void break_ring();
    void refuse_frames() { refuses_.store(true); }  // the guest's, when it commits them
    void die() { alive_.store(false); }             // the server; nothing else changes
    bool alive() const { return alive_.load(); }
    bool asleep();          // the guest waits for its event
    bool waits_for_room();  // the guest waits for room
    int publishes() const { return publishes_.load(); }
    // Calls of the guest while forbidden are counted.
    void forbid(bool on) { forbidden_.store(on); }
    int trespasses() const { return trespasses_.load(); }

    int event() const { return event_; }
    bool marked() const { return marked_.load(); }
    int peek(lvif_frame* frame);
    void release();
    bool sleep();
    void wake();
    int reserve(std::uint32_t length, std::uint8_t** frame);
    int commit(std::uint32_t length, lvif_offload const* offload);
    void publish();
    bool wait_for_room();
    void notice_call();

  private:
    void notify() { eventfd_write(event_, 1); }

    std::mutex mutex_;
    std::condition_variable changed_;
    int event_;
    lvif_device* other_ = nullptr;
    std::deque<RingFrame> to_guest_;
    std::deque<RingFrame> from_guest_;
    std::vector<RingFrame> committed_;
    std::vector<std::uint8_t> reserved_;
    std::size_t room_ = 1024;
    bool broken_ = false;
    std::atomic<bool> refuses_ = false;
    std::atomic<bool> marked_ = false;
    bool sleeps_ = false;
    bool waits_ = false;
    std::atomic<int> publishes_ = 0;
    std::atomic<bool> alive_ = true;
    std::atomic<bool> forbidden_ = false;
    std::atomic<int> trespasses_ = 0;
};

namespace librettos::guest {

// Ports are the eventfds themselves.
class RingEvents final : public EventSource {
  public:
    int event_fd(std::uint32_t port) override { return static_cast<int>(port); }
    void event_clear(std::uint32_t port) override;
};

}  // namespace librettos::guest
