// SPDX-License-Identifier: BSD-2-Clause
#include "guest-frontend/rump/pci/ixv_vf.hpp"

#include <sys/eventfd.h>
#include <sys/uio.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "guest-frontend/process/say.hpp"
#include "guest-frontend/rump/ixv/hypercalls.h"

namespace librettos::guest {

namespace {

// A VF's registers, by the 82599's datasheet, 8.3; those of an X540 are the same.
constexpr unsigned status_register = 0x8, link_register = 0x10, send_head = 0x2010, send_tail = 0x2018;
constexpr std::uint32_t link_up = 1u << 30, no_device = ~0u;

constexpr std::uint32_t header_bytes = 14;
constexpr std::uint16_t most_mtu = 1500;  // the driver does not tell the PF of longer frames
constexpr std::size_t most_received = 12'000, most_to_send = 1024, most_in_batch = 64;
constexpr auto look_at_link_every = std::chrono::milliseconds(50);
constexpr auto ask_driver_every = std::chrono::milliseconds(1);
constexpr auto look_at_groups_every = std::chrono::seconds(1);

// A VF in a VLAN that its guest knows nothing of gets the wire's tags.
constexpr std::size_t tag_at = 12, tag_bytes = 4;
constexpr std::uint8_t tag_type[] = {0x81, 0x00};

void take_tag_off(std::vector<std::uint8_t>& frame) {
    auto const tag = frame.begin() + tag_at;
    if (frame.size() >= tag_at + tag_bytes && std::equal(std::begin(tag_type), std::end(tag_type), tag)) {
        frame.erase(tag, tag + tag_bytes);
    }
}

}  // namespace

IxvVf::IxvVf(std::string pci_address, std::uint32_t const volatile* registers)
    : pci_address_(std::move(pci_address)),
      registers_(registers),
      event_(checked_descriptor(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), "make an event for a VF")) {
}

IxvVf::~IxvVf() {
    down();
}

bool IxvVf::has_link() const {
    return read(status_register) != no_device && (read(link_register) & link_up) != 0;
}

int IxvVf::up(VfMac const& mac, std::uint16_t vlan, std::uint16_t mtu_bytes) {
    if (vlan != 0) {
        say("the server's VF wants VLAN tags of its guest, which are not made here");
        return LVIF_EOPNOTSUPP;
    }
    if (mtu_bytes > most_mtu) {
        say("the VF " + pci_address_ + " cannot be used: ixv takes no frames longer than an MTU of 1500");
        return LVIF_EMSGSIZE;
    }
    if (state_ == State::down) {
        if (!has_link()) {
            return 0;
        }
        mac_ = mac;
        stop_ = taken_back_ = false;
        in_driver_ = 0;
        sent_ = lost_ = 0;
        state_ = State::starting;
        thread_ = std::thread([this] { run(); });
    }
    if (state_ == State::failed) {
        say("the VF " + pci_address_ + " cannot be used: ixv does not start it, NetBSD's error " +
            std::to_string(error_.load()));
        return LVIF_EIO;
    }
    had_link_ = state_ == State::up && has_link();
    return had_link_ ? 1 : 0;
}

bool IxvVf::gone() {
    if (auto const now = Clock::now(); had_link_ && now >= look_at_link_) {
        look_at_link_ = now + look_at_link_every;
        return !has_link();
    }
    return false;
}

void IxvVf::down() {
    if (thread_.joinable()) {
        {
            std::lock_guard const lock(mutex_);
            stop_ = true;
        }
        changed_.notify_one();
        thread_.join();
    }
    had_link_ = false;
    std::lock_guard const lock(mutex_);
    state_ = State::down;
    if (std::size_t const left = received_.size() + lost_; left != 0) {
        say("the VF " + pci_address_ + " received " + std::to_string(left) + " frames that are lost");
    }
    received_.clear();
    to_send_.clear();
    committed_.clear();
}

// The VF's thread.
void IxvVf::run() {
    rumpuser_component_kthread();
    rumpuser_component_schedule(nullptr);
    int const error = rump_librettos_ixv_up();
    rumpuser_component_unschedule();
    if (error == 0) {
        seen_head_ = read(send_head);
        watch_.begin();
    }
    error_ = error;
    state_ = error == 0 ? State::up : State::failed;
    if (error == 0) {
        send_until_stopped();
        rumpuser_component_schedule(nullptr);
        rump_librettos_ixv_down();
        rumpuser_component_unschedule();
    }
    rumpuser_component_kthread_release();
}

void IxvVf::send_until_stopped() {
    std::vector<Frame> batch;
    auto look_at_groups = Clock::now() + look_at_groups_every;
    std::unique_lock lock(mutex_);
    while (!stop_) {
        auto const may_hand_over = [this] { return in_driver_ == 0 && !taken_back_; };
        auto const has_work = [&] { return stop_ || (!to_send_.empty() && may_hand_over()); };
        auto const until = in_driver_ != 0 ? std::min(Clock::now() + ask_driver_every, look_at_groups) : look_at_groups;
        changed_.wait_until(lock, until, has_work);
        // What the driver could not give to the VF goes first; to it alone nothing can be added that would be known.
        auto const count = static_cast<std::ptrdiff_t>(may_hand_over() ? std::min(to_send_.size(), most_in_batch) : 0);
        batch.assign(std::move_iterator(to_send_.begin()), std::move_iterator(to_send_.begin() + count));
        to_send_.erase(to_send_.begin(), to_send_.begin() + count);
        being_sent_ = batch.size();
        lock.unlock();

        rumpuser_component_schedule(nullptr);
        auto unsent = std::find_if(batch.begin(), batch.end(), [](Frame const& frame) {
            return rump_librettos_ixv_send(frame.data(), static_cast<unsigned>(frame.size())) != 0;
        });
        unsigned const in_driver = rump_librettos_ixv_waiting();
        if (Clock::now() >= look_at_groups) {
            look_at_groups = Clock::now() + look_at_groups_every;
            rump_librettos_ixv_join_groups();
        }
        rumpuser_component_unschedule();

        lock.lock();
        to_send_.insert(to_send_.begin(), std::move_iterator(unsent), std::move_iterator(batch.end()));
        being_sent_ = 0;
        in_driver_ = in_driver;
    }
}

// ---- who receives

void IxvVf::received(iovec const* parts, unsigned n) {
    Frame frame;
    for (unsigned i = 0; i < n; ++i) {
        auto const* const bytes = static_cast<std::uint8_t const*>(parts[i].iov_base);
        frame.insert(frame.end(), bytes, bytes + parts[i].iov_len);
    }
    take_tag_off(frame);
    std::lock_guard const lock(mutex_);
    if (state_ == State::down) {
        return;  // an interrupt that was on its way
    }
    if (received_.size() == most_received) {
        ++lost_;
        return;
    }
    received_.push_back(std::move(frame));
    if (armed_) {
        eventfd_write(event_.get(), 1);
    }
}

bool IxvVf::front(lvif_frame& frame) {
    std::lock_guard const lock(mutex_);
    if (received_.empty()) {
        return false;
    }
    frame = {received_.front().data(), static_cast<std::uint32_t>(received_.front().size()), {}};
    return true;
}

void IxvVf::release() {
    std::lock_guard const lock(mutex_);
    received_.pop_front();
}

bool IxvVf::arm() {
    std::lock_guard const lock(mutex_);
    armed_ = true;
    return received_.empty();
}

void IxvVf::disarm() {
    std::lock_guard const lock(mutex_);
    armed_ = false;
    eventfd_t ignored = 0;
    eventfd_read(event_.get(), &ignored);
}

// ---- who sends

int IxvVf::reserve(std::uint32_t length, std::uint8_t*& frame) {
    if (length > most_mtu + header_bytes) {
        return LVIF_EMSGSIZE;
    }
    {
        std::lock_guard const lock(mutex_);
        if (to_send_.size() + being_sent_ + committed_.size() >= most_to_send) {
            return LVIF_EAGAIN;
        }
    }
    reserved_.resize(length);
    frame = reserved_.data();
    return 0;
}

void IxvVf::commit(std::uint32_t length) {
    reserved_.resize(length);
    committed_.push_back(std::exchange(reserved_, {}));
}

bool IxvVf::publish() {
    if (committed_.empty()) {
        return true;
    }
    sent_ += committed_.size();
    {
        std::lock_guard const lock(mutex_);
        to_send_.insert(to_send_.end(), std::move_iterator(committed_.begin()), std::move_iterator(committed_.end()));
    }
    committed_.clear();
    changed_.notify_one();
    return true;
}

bool IxvVf::sent_all() {
    publish();
    std::lock_guard const lock(mutex_);
    return to_send_.empty() && being_sent_ == 0 && in_driver_ == 0 && read(send_head) == read(send_tail);
}

void IxvVf::take_back(std::function<void(std::uint8_t const* frame, std::uint32_t length)> const& take) {
    publish();
    std::lock_guard const lock(mutex_);
    taken_back_ = true;
    for (Frame const& frame : to_send_) {
        if (!VfWatch::is_frame_to_self(frame)) {
            take(frame.data(), static_cast<std::uint32_t>(frame.size()));
        }
    }
    to_send_.clear();
}

bool IxvVf::makes_progress() {
    std::uint32_t const head = read(send_head);
    return sent_all() || std::exchange(seen_head_, head) != head;
}

bool IxvVf::alive(bool may_send) {
    return watch_.alive(
        sent_, may_send, [this] { return makes_progress(); }, [this] { send_to_self(); });
}

void IxvVf::send_to_self() {
    std::uint8_t* frame = nullptr;
    if (reserve(VfWatch::frame_to_self_bytes, frame) == 0) {
        VfWatch::write_frame_to_self(mac_, {frame, VfWatch::frame_to_self_bytes});
        commit(VfWatch::frame_to_self_bytes);
        publish();
    }
}

}  // namespace librettos::guest
