// SPDX-License-Identifier: BSD-2-Clause
// An interface of a rump kernel as a guest's network device: the user half of the contract, whatever its base name.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "guest-frontend/process/stack_device.hpp"
#include "guest-frontend/rump/loaded_vf.hpp"
#include "guest-frontend/rump/rump_stack.hpp"

struct virtif_user {
  public:
    // Becomes a guest, waits for a server (for ever), claims what is bound already. Unscheduled. Throws
    // std::runtime_error.
    virtif_user(std::string const& device, virtif_sc* kernel_half, librettos::guest::RumpStack::Deliver deliver);
    // Unscheduled.
    ~virtif_user();
    virtif_user(virtif_user const&) = delete;
    virtif_user& operator=(virtif_user const&) = delete;

    librettos::guest::Offer const& offer() const { return offer_; }
    // Scheduled. A full ring is waited for, a little while and unscheduled; then the frame is dropped.
    void send(iovec const* parts, std::size_t n);
    void dies() { stack_.dies(); }

  private:
    virtif_user(librettos::guest::GuestOptions const& options, virtif_sc* kernel_half,
                librettos::guest::RumpStack::Deliver deliver);

    librettos::guest::RumpStack stack_;
    librettos::guest::LoadedVf vf_;
    librettos::guest::StackDevice device_;
    librettos::guest::Offer offer_{};
    std::atomic<std::uint64_t> dropped_ = 0;
};
