// SPDX-License-Identifier: BSD-2-Clause
#include "minios_double.hpp"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#include <librettos/grant_directory.h>

namespace {

MiniOs* the_machine = nullptr;
constexpr std::int64_t step_ns = 1'000'000;
constexpr std::uint32_t first_grant = 8;
constexpr std::uint32_t last_grant = 2047;

[[noreturn]] void give_up(std::string const& why) {
    std::fprintf(stderr, "Mini-OS double: %s\n", why.c_str());
    std::abort();
}

}  // namespace

__thread bmk_thread* bmk_current = nullptr;

MiniOs& MiniOs::machine() {
    return *the_machine;
}

MiniOs::MiniOs() {
    the_machine = this;
    for (std::uint32_t grant = first_grant; grant <= last_grant; ++grant) {
        free_grants_.push_back(grant);
    }
    threads_.push_back(std::make_unique<bmk_thread>());
    threads_.back()->name = "main";
    bmk_current = running_ = threads_.back().get();
    world.watch_fired = false;
}

MiniOs::~MiniOs() {
    for (auto const& thread : threads_) {
        if (thread->thread.joinable() && !thread->ended) {
            give_up("thread " + thread->name + " was not ended by the test");
        }
        if (thread->thread.joinable()) {
            thread->thread.join();
        }
    }
    the_machine = nullptr;
}

std::string MiniOs::held() const {
    std::string held;
    for (auto const& [what, count] : {std::pair<char const*, std::size_t>{"grants", grants_.size()},
                                      {"channels", channels_.size()},
                                      {"pages", page_block_.size()},
                                      {"texts of xenbus", texts_.size()},
                                      {"allocations", memory_.size()},
                                      {"watches", watches_.size()}}) {
        if (count != 0) {
            held += std::to_string(count) + " " + what + " ";
        }
    }
    return held;
}

void MiniOs::check_thread(char const* call) {
    if (in_handler_) {
        violation(std::string(call) + " in an event handler");
    }
}

// ---- scheduling

bmk_thread* MiniOs::next_runnable() {
    if (run_queue_.empty()) {
        return nullptr;
    }
    bmk_thread* const next = run_queue_.front();
    run_queue_.pop_front();
    return next;
}

void MiniOs::schedule() {
    bmk_thread* const self = bmk_current;
    bmk_thread* next = nullptr;
    for (unsigned idle = 0; (next = next_runnable()) == nullptr; ++idle) {
        if (idle > 10'000'000) {
            give_up("nothing happens any more, " + self->name + " waits");
        }
        others_turn();
        now_ns_ += step_ns;
        for (auto const& thread : threads_) {
            if (!thread->runnable && !thread->ended && thread->deadline != BMK_SCHED_BLOCK_INFTIME &&
                thread->deadline <= now_ns_) {
                thread->timed_out = true;
                thread->runnable = true;
                run_queue_.push_back(thread.get());
            }
        }
    }
    if (next == self) {
        return;
    }
    std::unique_lock lock(baton_);
    running_ = next;
    next->turn.notify_one();
    if (!self->ended) {
        self->turn.wait(lock, [this, self] { return running_ == self; });
    }
}

void MiniOs::yield() {
    others_turn();
    run_queue_.push_back(bmk_current);
    schedule();
}

void MiniOs::block_until(std::int64_t deadline) {
    bmk_sched_blockprepare_timeout(deadline);
    bmk_sched_block();
}

bool MiniOs::run_until(std::function<bool()> const& so, std::int64_t longest_ms) {
    std::int64_t const end = now_ns_ + longest_ms * 1'000'000;
    while (!so()) {
        if (now_ns_ >= end) {
            return false;
        }
        block_until(now_ns_ + step_ns);
    }
    return true;
}

void MiniOs::run_for(std::int64_t ms) {
    run_until([] { return false; }, ms);
}

void MiniOs::others_turn() {
    server.turn();
    world.now_us = static_cast<std::uint64_t>(now_ns_ / 1000);
    if (server.connected()) {
        lvif_ring_header const& rx = *server.rx_header();
        lvif_ring_header const& tx = *server.tx_header();
        if ((rx.consumer_sleeps != 0 && rx.head != rx.tail) || tx.producer_waits != 0) {
            fire(server.event_of("queue-0/event"));
        }
    }
    if (world.watch_fired) {
        world.watch_fired = false;
        if (server.connected()) {
            fire(server.event_of("control-event"));
        }
        post_watch();
    }
    interrupts();
}

void MiniOs::post_watch() {
    if (watch_queue_ == nullptr || watches_.empty()) {
        return;
    }
    auto* const event = new xenbus_event{watch_queue_->events.first};
    texts_.insert(event);
    watch_queue_->events.first = event;
    bool const was = std::exchange(in_handler_, true);  // on xenbus' thread, under its lock: as little is allowed
    watch_queue_->wakeup(watch_queue_);
    in_handler_ = was;
}

void MiniOs::fire(std::uint32_t port) {
    auto const channel = channels_.find(port);
    if (channel == channels_.end()) {
        return;
    }
    if (events_to_lose > 0) {
        --events_to_lose;
        return;
    }
    channel->second.pending = true;
}

void MiniOs::interrupts() {
    if (priority_ != 0 || in_handler_) {
        return;
    }
    for (auto& [port, channel] : channels_) {
        if (channel.pending && !channel.masked) {
            channel.pending = false;
            in_handler_ = true;
            channel.handler(port, nullptr, channel.data);
            in_handler_ = false;
        }
    }
}

// ---- the rump kernel

void MiniOs::kernel_enter() {
    check_thread("schedule");
    if (bmk_current->scheduled) {
        violation("scheduled twice");
    }
    while (cpu_owner_ != nullptr) {
        yield();
    }
    cpu_owner_ = bmk_current;
    bmk_current->scheduled = true;
}

void MiniOs::kernel_leave() {
    if (!bmk_current->scheduled) {
        violation("unscheduled without having been scheduled");
    }
    bmk_current->scheduled = false;
    cpu_owner_ = nullptr;
}

void MiniOs::delivered(void const* frame, std::size_t bytes) {
    check_thread("a call of the rump kernel");
    if (!bmk_current->scheduled) {
        violation("a frame was delivered unscheduled");
    }
    frames.emplace_back(static_cast<char const*>(frame), bytes);
    kernel_leave();
    while_delivering();
    bmk_current->inside_kernel = true;
    block_until(now_ns_ + step_ns);
    bmk_current->inside_kernel = false;
    kernel_enter();
    if (std::memcmp(frame, frames.back().data(), bytes) != 0) {
        violation("a frame was overwritten while the kernel had it");
    }
}

// ---- regions

void MiniOs::note_region(std::string const& key, std::string const& value) {
    bool const is_region = key.ends_with("-ring") || key.find("/control-to-") != std::string::npos;
    if (!is_region) {
        return;
    }
    auto const name = static_cast<std::uint32_t>(std::stoul(value));
    std::vector<std::uintptr_t> pages;
    std::vector<std::uint32_t> grants;
    for (std::uint32_t next = name; next != 0;) {
        auto const found = grants_.find(next);
        if (found == grants_.end() || found->second.domain != FakeWorld::server) {
            return violation("no grant of a directory page for the server: " + key);
        }
        auto const* const directory = reinterpret_cast<lvif_grant_directory const*>(found->second.page);
        if (directory->magic != LVIF_DIRECTORY_MAGIC || directory->version != LVIF_DIRECTORY_VERSION ||
            directory->count == 0 || directory->count > LVIF_GRANTS_PER_DIRECTORY) {
            return violation("no directory: " + key);
        }
        grants.push_back(next);
        for (std::uint32_t i = 0; i < directory->count; ++i) {
            auto const page = grants_.find(directory->grant[i]);
            if (page == grants_.end() || page->second.domain != FakeWorld::server) {
                return violation("no grant of a page for the server: " + key);
            }
            pages.push_back(page->second.page);
            grants.push_back(directory->grant[i]);
        }
        next = directory->next;
    }
    for (std::size_t i = 0; i < pages.size(); ++i) {
        if (pages[i] != pages[0] + i * LVIF_PAGE_BYTES) {
            return violation("pages out of order: " + key);
        }
    }
    for (std::uint32_t const grant : grants) {
        region_of_[grant] = name;
    }
    world.regions()[name] = {reinterpret_cast<void*>(pages[0]), pages.size() * LVIF_PAGE_BYTES, FakeWorld::server};
}
