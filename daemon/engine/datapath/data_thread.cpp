// SPDX-License-Identifier: BSD-2-Clause
// A data thread's life: start, the loop, commands, going to sleep and waking up.
#include "daemon/engine/datapath/data_thread.hpp"

#include <librettos/handshake.h>
#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

namespace librettos {

namespace {

constexpr std::uint32_t fragment_entries = 256;
constexpr std::uint64_t longest_sleep_ns = 1'000'000'000;
constexpr std::uint64_t shortest_blind_sleep_ns = 50'000, longest_blind_sleep_ns = 1'000'000;
constexpr std::uint64_t mute_ns = 10'000'000;
constexpr std::uint64_t ns_per_s = 1'000'000'000;

// lint: not per frame: at start, for a new guest and at the end of a mute; fails only when the kernel has no memory
bool try_watch(int epoll_fd, int fd, void* tag) noexcept {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.ptr = tag;
    return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

// lint: not per frame: at start
void watch(int epoll_fd, int fd, void* tag) {
    if (!try_watch(epoll_fd, fd, tag)) {
        throw std::system_error(errno, std::generic_category(), "watch a descriptor of the data path");
    }
}

template <typename T>
void erase(std::vector<T*>& from, T* what) {
    from.erase(std::remove(from.begin(), from.end(), what), from.end());
}

}  // namespace

DataThread::DataThread(DataThreadSetup const& setup, NetworkIdentity const& network, lvif_portmap const& portmap,
                       int acknowledge_fd)
    : setup_(setup),
      mine_(setup.in_flight[setup.index]),
      directory_(network, portmap),
      classifier_(directory_),
      counters_(setup.cells),
      fragments_(fragment_entries, network.mtu_bytes + 64U),
      guests_(max_slots, nullptr),
      sole_queues_(max_slots, nullptr),
      large_frame_(new std::uint8_t[LVIF_MAX_FRAME_BYTES + 1U]),
      poll_window_(lvif_poll_start(setup.poll_us)),
      clock_(rte_get_tsc_hz()),
      acknowledge_fd_(acknowledge_fd) {
    // Frames are copied in pieces of 16 bytes.
    buffer_room_ = (rte_pktmbuf_data_room_size(setup.pool) - RTE_PKTMBUF_HEADROOM) & ~15U;
    segment_.reset(new std::uint8_t[buffer_room_]);
    max_wire_frame_ = network.mtu_bytes + RTE_ETHER_HDR_LEN;
    polled_.reserve(max_slots * LVIF_MAX_QUEUES);
    waiting_.reserve(max_slots * LVIF_MAX_QUEUES);
    touched_.reserve(max_slots * LVIF_MAX_QUEUES);
    drains_.reserve(max_slots);
    steering_.reserve(max_slots);
    epoll_fd_ = epoll_create1(EPOLL_CLOEXEC);
    wake_fd_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (epoll_fd_ < 0 || wake_fd_ < 0) {
        throw std::system_error(errno, std::generic_category(), "make the data thread's wake-up");
    }
    watch(epoll_fd_, wake_fd_, &wake_fd_);
    if (setup.port->rx_interrupt) {
        interrupt_fd_ = rte_eth_dev_rx_intr_ctl_q_get_fd(setup.port->port_id, setup.index);
    }
    int const wait_fd = setup.index < setup.port->wait_fds.size() ? setup.port->wait_fds[setup.index] : -1;
    port_fd_ = interrupt_fd_ >= 0 ? interrupt_fd_ : wait_fd;
    if (port_fd_ >= 0) {
        watch(epoll_fd_, port_fd_, &port_fd_);
    }
    adopt_in_flight();
    refresh_time();
}

DataThread::~DataThread() {
    close(wake_fd_);
    close(epoll_fd_);
}

// Received frames that were being looked at are not looked at again: one of them may be what killed the predecessor.
// What was ready for the wire is sent by the first turn.
void DataThread::adopt_in_flight() {
    while (mine_.rx_first < mine_.rx_end) {
        rte_mbuf* const buffer = mine_.rx[mine_.rx_first++];
        rte_pktmbuf_free(buffer);
    }
    mine_.rx_end = 0;
    mine_.rx_first = 0;
    rte_pktmbuf_free(std::exchange(mine_.building, nullptr));
    for (std::uint16_t from = 0; from < setup_.threads; ++from) {
        Handoff handoff;
        while (setup_.in_flight[from].handoff[setup_.index].pop(handoff)) {
            rte_pktmbuf_free(handoff.buffer);
        }
    }
}

void DataThread::refresh_time() {
    now_ns_ = clock_.now_ns(rte_rdtsc(), [] {
        timespec now{};
        clock_gettime(CLOCK_MONOTONIC, &now);
        return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000U + static_cast<std::uint64_t>(now.tv_nsec);
    });
}

bool DataThread::turn() {
    std::uint64_t const before_ns = now_ns_;
    refresh_time();
    bool worked = from_wire();
    worked |= from_other_threads();
    worked |= from_guests();
    worked |= send_pending();
    if (publication_due()) {
        publish_rings();
    }
    if (!drains_.empty()) {
        advance_drains();
    }
    if (!steering_.empty()) {
        look_at_steering();
    }
    ++turns_;
    ThreadStats& stats = *setup_.stats;
    stats.turns.store(stats.turns.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    if (last_turn_worked_) {
        stats.busy_ns.store(stats.busy_ns.load(std::memory_order_relaxed) + now_ns_ - before_ns,
                            std::memory_order_relaxed);
    }
    if (worked) {
        if (!last_turn_worked_) {
            lvif_poll_came(&poll_window_, now_ns_ - worked_ns_);
        }
        worked_ns_ = now_ns_;
    }
    last_turn_worked_ = worked;
    return worked;
}

void DataThread::run() {
    while (!stopping_) {
        bool const worked = turn();
        stopping_ |= !take_commands();
        if (turns_ % housekeeping_turns == 0) {
            housekeeping();
        }
        if (worked) {
            continue;
        }
        std::uint64_t const waited_ns = now_ns_ - worked_ns_;
        bool const in_window = lvif_poll_again(&poll_window_, waited_ns);
        // Who sleeps for a fixed time does not learn how short the wait could have been.
        if (in_window || (nothing_wakes() && waited_ns < poll_window_.limit_ns)) {
            sched_yield();
        } else {
            chores();
            sleep();
        }
    }
    publish_rings();
}

void DataThread::housekeeping() {
    look_at_events(0);
    stopping_ |= !take_commands();
    chores();
}

// What needs no system call.
void DataThread::chores() {
    wake_due();
    expire_fragments();
}

// ---- commands ----

bool DataThread::take_commands() {
    DataCommand command;
    while (commands.pop(command)) {
        switch (command.kind) {
            case DataCommand::Kind::add:
                add(*command.guest);
                acknowledge({DataAck::Kind::added, command.slot, command.guest, ""});
                break;
            case DataCommand::Kind::remove:
                remove(command.slot);
                acknowledge({DataAck::Kind::removed, command.slot, nullptr, ""});
                break;
            case DataCommand::Kind::network:
                directory_.set_network(*command.network);
                acknowledge({DataAck::Kind::network, wire_slot, command.network, ""});
                break;
            case DataCommand::Kind::direct:
                set_direct(command.slot, command.direct);
                acknowledge({DataAck::Kind::direct, command.slot, nullptr, ""});
                break;
            case DataCommand::Kind::watch_steering:
                watch_steering(command);
                break;
            case DataCommand::Kind::drain:
                forget_steering(command.slot);
                drains_.push_back({command.slot, drain_turns, command.mark});
                break;
            case DataCommand::Kind::stop:
                acknowledge({DataAck::Kind::stopped, wire_slot, nullptr, ""});
                return false;
        }
    }
    return true;
}

void DataThread::acknowledge(DataAck const& ack) noexcept {
    acknowledgements.push(ack);
    std::uint64_t const one = 1;
    [[maybe_unused]] auto const written = write(acknowledge_fd_, &one, sizeof one);
}

void DataThread::add(Guest& guest) {
    guests_[guest.slot] = &guest;
    directory_.add(guest.slot, guest.identity);
    if (guest.queues.size() == 1 && guest.queues.front().thread == setup_.index) {
        sole_queues_[guest.slot] = &guest.queues.front();
    }
    for (GuestQueue& queue : guest.queues) {
        if (queue.thread == setup_.index) {
            if (try_watch(epoll_fd_, queue.event->fd(), &queue)) {
                start_polling(queue);
            } else {
                report_broken(queue, "event channel cannot be watched");
            }
        }
    }
}

void DataThread::remove(Slot slot) {
    Guest* const guest = guests_[slot];
    if (guest == nullptr) {
        return;
    }
    for (GuestQueue& queue : guest->queues) {
        if (queue.thread == setup_.index) {
            epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, queue.event->fd(), nullptr);
            erase(polled_, &queue);
            erase(waiting_, &queue);
            erase(touched_, &queue);
        }
    }
    for (Drain& drain : drains_) {
        if (drain.slot == slot) {
            drain.mark = 0;  // the slot's next guest has rings of its own
        }
    }
    forget_steering(slot);
    directory_.remove(slot);
    classifier_.forget(slot);
    guests_[slot] = nullptr;
    sole_queues_[slot] = nullptr;
}

void DataThread::set_direct(Slot slot, bool direct) {
    if (guests_[slot] != nullptr) {
        directory_.set_direct(slot, direct);
    }
    if (!direct) {
        forget_steering(slot);
    }
}

// After a whole turn that began with the command. A drain counts turns for a wire that never becomes quiet.
void DataThread::advance_drains() {
    publish_rings();
    bool const emptied = !wire_has_more_ && !peers_have_more_;
    std::erase_if(drains_, [this, emptied](Drain& drain) {
        bool const done = emptied || --drain.turns == 0;
        if (done) {
            mark_rings(drain.slot, drain.mark);
            acknowledge({DataAck::Kind::drained, drain.slot, nullptr, ""});
        }
        return done;
    });
}

void DataThread::watch_steering(DataCommand const& command) {
    forget_steering(command.slot);
    refresh_time();
    steering_.push_back({command.slot, command.mark, command.steered, command.awaited, now_ns_ + steering_watch_ns, 0});
}

// After a whole turn. Once the NIC has obeyed, frames are on their way here, or those that were are in the rings: a
// turn that empties the wire publishes them.
void DataThread::look_at_steering() {
    std::erase_if(steering_, [this](SteeringWatch& watched) {
        if (watched.seen_ns == 0 && watched.steered->load(std::memory_order_acquire) == watched.awaited) {
            refresh_time();
            watched.seen_ns = worked_ns_ = now_ns_;
        }
        bool const settled =
            watched.seen_ns != 0 && !wire_has_more_ && now_ns_ - watched.seen_ns >= steering_settles_ns;
        if (settled) {
            mark_rings(watched.slot, watched.mark);
        }
        return settled || now_ns_ >= watched.end_ns;
    });
}

void DataThread::forget_steering(Slot slot) {
    std::erase_if(steering_, [slot](SteeringWatch const& watched) { return watched.slot == slot; });
}

// Those that are served here, and have been published.
void DataThread::mark_rings(Slot slot, std::uint32_t mark) noexcept {
    if (mark == 0 || guests_[slot] == nullptr) {
        return;
    }
    for (GuestQueue& queue : guests_[slot]->queues) {
        if (queue.thread == setup_.index) {
            queue.to_guest.mark(mark);
            ring_doorbell(queue);
        }
    }
}

void DataThread::report_broken(GuestQueue& queue, char const* reason) {
    if (queue.service == GuestQueue::Service::broken) {
        return;
    }
    queue.service = GuestQueue::Service::broken;
    epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, queue.event->fd(), nullptr);
    acknowledge({DataAck::Kind::broken, queue.slot, nullptr, reason});
}

// ---- sleeping and waking ----

void DataThread::wake() noexcept {
    std::uint64_t const one = 1;
    [[maybe_unused]] auto const written = write(wake_fd_, &one, sizeof one);
}

void DataThread::start_polling(GuestQueue& queue) {
    queue.service = GuestQueue::Service::polled;
    queue.idle_turns = 0;
    queue.from_guest.disarm();
    polled_.push_back(&queue);
}

// false: there are frames after all. The caller takes the queue off polled_.
bool DataThread::put_to_sleep(GuestQueue& queue) {
    queue.from_guest.arm();
    full_fence();  // pairs with lvif_tx_publish: either it sees the flag, or we see its head
    if (queue.from_guest.refresh()) {
        queue.from_guest.disarm();
        return false;
    }
    queue.service = GuestQueue::Service::asleep;
    return true;
}

void DataThread::look_at_events(std::uint64_t timeout_ns) {
    std::array<epoll_event, 64> events;
    timespec const timeout{static_cast<time_t>(timeout_ns / ns_per_s), static_cast<long>(timeout_ns % ns_per_s)};
    int const count = epoll_pwait2(epoll_fd_, events.data(), static_cast<int>(events.size()), &timeout, nullptr);
    for (int i = 0; i < count; ++i) {
        void* const tag = events[static_cast<std::size_t>(i)].data.ptr;
        if (tag == &wake_fd_ || (tag == &port_fd_ && interrupt_fd_ >= 0)) {
            std::uint64_t ignored;
            [[maybe_unused]] auto const got =
                read(tag == &wake_fd_ ? wake_fd_ : interrupt_fd_, &ignored, sizeof ignored);
        } else if (tag != &port_fd_) {
            on_doorbell(*static_cast<GuestQueue*>(tag));
        }
    }
}

void DataThread::on_doorbell(GuestQueue& queue) {
    queue.event->clear();
    counters_.add(queue.slot, Counter::doorbells_received);
    if (queue.service == GuestQueue::Service::asleep) {
        start_polling(queue);
    }
    if (queue.from_guest.refresh()) {
        return;
    }
    // Rang for nothing (it may once: for a frame that we found ourselves). One that does nothing else is not heard for
    // a while.
    if (now_ns_ - queue.empty_since_ns > 1'000'000'000U) {
        queue.empty_since_ns = now_ns_;
        queue.empty_doorbells = 0;
    }
    if (++queue.empty_doorbells > empty_doorbells_per_s && queue.service == GuestQueue::Service::polled) {
        epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, queue.event->fd(), nullptr);
        erase(polled_, &queue);
        queue.service = GuestQueue::Service::muted;
        queue.wake_ns = now_ns_ + mute_ns;
        waiting_.push_back(&queue);
    }
}

void DataThread::wake_due() {
    for (std::size_t i = 0; i < waiting_.size();) {
        GuestQueue& queue = *waiting_[i];
        if (queue.service != GuestQueue::Service::broken && queue.wake_ns > now_ns_) {
            ++i;
            continue;
        }
        if (queue.service == GuestQueue::Service::muted && !try_watch(epoll_fd_, queue.event->fd(), &queue)) {
            queue.wake_ns = now_ns_ + mute_ns;
            ++i;
            continue;
        }
        waiting_[i] = waiting_.back();
        waiting_.pop_back();
        if (queue.service != GuestQueue::Service::broken) {
            start_polling(queue);
        }
    }
}

// When the port takes what it had no room for, or has frames and no descriptor, or when the NIC steers: it is asked.
bool DataThread::nothing_wakes() const {
    return mine_.tx_first != mine_.tx_end || port_fd_ < 0 || !steering_.empty();
}

std::uint64_t DataThread::sleep_limit_ns() const {
    if (!steering_.empty()) {
        return shortest_blind_sleep_ns;
    }
    if (nothing_wakes()) {
        // What has come every so often is found soon after it comes, and a port where nothing comes costs little.
        return std::clamp((now_ns_ - worked_ns_) / 2, shortest_blind_sleep_ns, longest_blind_sleep_ns);
    }
    std::uint64_t until_ns = now_ns_ + longest_sleep_ns;
    for (GuestQueue const* queue : waiting_) {
        until_ns = std::min(until_ns, queue->wake_ns);
    }
    std::uint64_t const expiry_us = classifier_.next_expiry_us();
    if (expiry_us < until_ns / 1000) {
        until_ns = expiry_us * 1000;
    }
    return until_ns <= now_ns_ ? 0 : until_ns - now_ns_;
}

void DataThread::sleep() {
    std::erase_if(polled_, [this](GuestQueue* queue) { return put_to_sleep(*queue); });
    if (!polled_.empty() || !drains_.empty() || stopping_) {
        return;
    }
    asleep_.store(true, std::memory_order_relaxed);
    full_fence();  // pairs with wake_peers(): either the peer sees the flag, or we see its frame
    bool const handed = std::any_of(peers_.begin(), peers_.end(),
                                    [this](DataThread* peer) { return !peer->mine_.handoff[setup_.index].empty(); });
    if (interrupt_fd_ >= 0) {
        rte_eth_dev_rx_intr_enable(setup_.port->port_id, setup_.index);
    }
    // A frame that came before the interrupt was enabled raises none: look once more.
    if (!handed && !(interrupt_fd_ >= 0 && turn())) {
        ThreadStats& stats = *setup_.stats;
        stats.sleeps.store(stats.sleeps.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
        stats.sleeping.store(1, std::memory_order_relaxed);
        look_at_events(sleep_limit_ns());
        stats.sleeping.store(0, std::memory_order_relaxed);
    }
    if (interrupt_fd_ >= 0) {
        rte_eth_dev_rx_intr_disable(setup_.port->port_id, setup_.index);
    }
    asleep_.store(false, std::memory_order_relaxed);
    refresh_time();
    wake_due();
}

}  // namespace librettos
