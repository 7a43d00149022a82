// SPDX-License-Identifier: BSD-2-Clause
#include "tests/unit/rump/kernel_double.hpp"

#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

namespace librettos::test {

namespace {

constexpr std::size_t most_parts = 32;

// Of the calling thread.
thread_local bool known = false;
thread_local bool of_component = false;
thread_local bool scheduled = false;
thread_local int big_lock = 0;

std::atomic<Interface*> live_interface = nullptr;

}  // namespace

KernelDouble& KernelDouble::instance() {
    static KernelDouble kernel;
    return kernel;
}

std::vector<std::string> KernelDouble::reset() {
    std::lock_guard const lock(mutex_);
    frames_.clear();
    component_schedules_ = 0;
    if (known_threads_ != 0) {
        broken_.push_back("a thread ended without kthread_release()");
    }
    known_threads_ = 0;
    return std::exchange(broken_, {});
}

bool KernelDouble::is_scheduled() {
    return scheduled;
}

void KernelDouble::broke(std::string const& rule) {
    std::lock_guard const lock(mutex_);
    broken_.push_back(rule);
}

void KernelDouble::wait_for_frames(std::size_t count) {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, std::chrono::seconds(60), [&] { return frames_.size() >= count; })) {
        broken_.push_back("waited in vain for frame " + std::to_string(count) + ", have " +
                          std::to_string(frames_.size()));
    }
}

std::vector<Frame> KernelDouble::frames() {
    std::lock_guard const lock(mutex_);
    return frames_;
}

void KernelDouble::enter(int locks, bool component) {
    if (scheduled) {
        broke("schedule() while scheduled");
    }
    if (!known) {
        broke("schedule() of a thread that the kernel does not know");
    }
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !cpu_taken_; });
    cpu_taken_ = true;
    scheduled = true;
    big_lock = locks;
    if (component && of_component) {
        ++component_schedules_;
    }
}

int KernelDouble::leave() {
    if (!scheduled) {
        broke("unschedule() while unscheduled");
    }
    std::lock_guard const lock(mutex_);
    cpu_taken_ = false;
    scheduled = false;
    changed_.notify_all();
    return std::exchange(big_lock, 0);
}

void KernelDouble::kthread() {
    if (known || scheduled) {
        broke("kthread() of a thread that the kernel knows");
    }
    known = of_component = true;
    ++known_threads_;
}

void KernelDouble::kthread_release() {
    if (!known || scheduled) {
        broke("kthread_release() while scheduled, or of a thread that the kernel does not know");
    }
    known = of_component = false;
    --known_threads_;
}

void KernelDouble::deliver(virtif_sc* kernel_half, iovec const* parts, std::size_t n) {
    if (!scheduled) {
        broke("delivery while unscheduled");
    }
    if (n == 0 || n > most_parts) {
        broke("delivery of " + std::to_string(n) + " parts");
    }
    Interface* const to = live_interface;
    if (to == nullptr || kernel_half != to->kernel_half()) {
        broke("delivery to an interface that is not there");
    }
    Frame frame;
    for (std::size_t i = 0; i < n; ++i) {
        auto const* const bytes = static_cast<std::uint8_t const*>(parts[i].iov_base);
        frame.insert(frame.end(), bytes, bytes + parts[i].iov_len);
    }
    std::lock_guard const lock(mutex_);
    frames_.push_back(std::move(frame));
    changed_.notify_all();
}

InKernel::InKernel() {
    known = true;
    KernelDouble::instance().enter(1, false);
}

InKernel::~InKernel() {
    if (big_lock != 1) {
        KernelDouble::instance().broke("the big lock was not given back as it was");
    }
    KernelDouble::instance().leave();
    known = false;
}

int Interface::create(std::string const& device) {
    live_interface = this;
    int const error = VIRTIF_USER(create)(device.c_str(), kernel_half(), mac_, &user_half_);
    if (error != 0) {
        live_interface = nullptr;
    }
    return error;
}

void Interface::send(Frame const& frame, std::size_t cuts) {
    std::vector<std::unique_ptr<std::uint8_t[]>> memory;
    auto parts = std::make_unique<iovec[]>(cuts);
    std::size_t const step = frame.size() / cuts;
    for (std::size_t i = 0; i < cuts; ++i) {
        std::size_t const from = i * step;
        std::size_t const size = i + 1 == cuts ? frame.size() - from : step;
        memory.push_back(std::make_unique<std::uint8_t[]>(size));
        std::memcpy(memory.back().get(), frame.data() + from, size);
        parts[i] = {memory.back().get(), size};
    }
    VIRTIF_USER(send)(user_half_, parts.get(), cuts);
    if (!scheduled || big_lock != 1) {
        KernelDouble::instance().broke("send() came back unscheduled, or without the big lock");
    }
}

void Interface::destroy() {
    if (VIRTIF_USER(dying)(user_half_) != 0) {
        KernelDouble::instance().broke("dying() refused");
    }
    VIRTIF_USER(destroy)(user_half_);
    user_half_ = nullptr;
    live_interface = nullptr;
}

}  // namespace librettos::test

using librettos::test::KernelDouble;

void* rumpuser_component_unschedule() {
    return reinterpret_cast<void*>(static_cast<std::intptr_t>(KernelDouble::instance().leave()));
}

void rumpuser_component_schedule(void* cookie) {
    KernelDouble::instance().enter(static_cast<int>(reinterpret_cast<std::intptr_t>(cookie)), true);
}

void rumpuser_component_kthread() {
    KernelDouble::instance().kthread();
}

void rumpuser_component_kthread_release() {
    KernelDouble::instance().kthread_release();
}

// NetBSD's numbers of the errors that occur here.
int rumpuser_component_errtrans(int host_errno) {
    return host_errno == EADDRINUSE ? 48 : host_errno;
}

void VIRTIF_KERNEL(deliverpkt)(virtif_sc* kernel_half, iovec* parts, std::size_t n) {
    KernelDouble::instance().deliver(kernel_half, parts, n);
}
