// SPDX-License-Identifier: BSD-2-Clause
// A VF that NetBSD's ixv drives in this process' rump kernel, as the direct path of the kernel's interface.
//
// Theory of operation
//
// The kernel attached the driver when it started, and has the VF for as long as it lives. up() has the driver start
// it, down() stop it; in between what it receives waits here until FrameLink lets it into the guest's interface, and
// what the guest's interface sends waits here until the driver has room.
//
// Whoever sends holds FrameLink's lock, and other threads of the kernel wait for that with a virtual CPU in their
// hands. So nothing here enters the kernel for them: a thread of the VF's own hands frames to the driver. It starts
// and stops the VF, too, since who asks for that need not be a thread that the kernel knows.
//
// The two registers with the ends of the send queue say when all has left the VF, those of its state and link when it
// has gone. They are read here; reading them changes nothing for the driver.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "guest-frontend/linux/descriptor.hpp"
#include "guest-frontend/process/vf.hpp"
#include "guest-frontend/process/vf_watch.hpp"
#include "guest-frontend/rump/contract.h"

namespace librettos::guest {

class IxvVf final : public Vf {
  public:
    // registers: the VF's first memory, mapped for as long as this lives.
    IxvVf(std::string pci_address, std::uint32_t const volatile* registers);
    ~IxvVf() override;
    IxvVf(IxvVf const&) = delete;
    IxvVf& operator=(IxvVf const&) = delete;

    int up(VfMac const& mac, std::uint16_t vlan, std::uint16_t mtu_bytes) override;
    bool gone() override;
    void down() override;
    std::string name() const override { return pci_address_; }

    bool gather() override { return false; }
    bool front(lvif_frame& frame) override;
    void release() override;
    int event_fd() const override { return event_.get(); }
    bool arm() override;
    void disarm() override;

    int reserve(std::uint32_t length, std::uint8_t*& frame) override;
    void commit(std::uint32_t length) override;
    bool publish() override;
    bool sent_all() override;
    // Of what the driver has not been given yet: what it has cannot be known.
    void take_back(std::function<void(std::uint8_t const* frame, std::uint32_t length)> const& take) override;
    bool alive(bool may_send) override;

    // The driver's, scheduled.
    void received(iovec const* parts, unsigned n);

  private:
    using Clock = SwitchOrder::Clock;
    using Frame = std::vector<std::uint8_t>;
    enum class State { down, starting, up, failed };

    std::uint32_t read(unsigned offset) const {
        return __atomic_load_n(&registers_[offset / sizeof *registers_], __ATOMIC_RELAXED);
    }
    bool has_link() const;
    bool makes_progress();
    void send_to_self();
    void run();
    void send_until_stopped();

    std::string const pci_address_;
    std::uint32_t const volatile* const registers_;
    Descriptor event_;

    // who switches
    VfMac mac_{};
    bool had_link_ = false;
    Clock::time_point look_at_link_{};
    std::atomic<State> state_ = State::down;
    std::atomic<int> error_ = 0;  // NetBSD's, once it has failed

    // who sends
    Frame reserved_;
    std::vector<Frame> committed_;
    std::uint64_t sent_ = 0;
    std::uint32_t seen_head_ = 0;
    VfWatch watch_;

    std::mutex mutex_;  // guards what follows; nothing is waited for with it
    std::condition_variable changed_;
    bool stop_ = false;
    bool taken_back_ = false;  // the driver is given nothing more
    std::deque<Frame> to_send_;
    std::size_t being_sent_ = 0;  // taken from to_send_
    unsigned in_driver_ = 0;      // that it has not given to the VF
    std::deque<Frame> received_;
    std::uint64_t lost_ = 0;  // for want of room in it
    bool armed_ = false;

    std::thread thread_;
};

}  // namespace librettos::guest
