// SPDX-License-Identifier: BSD-2-Clause
// Guests' devices, each run by the real frontend library over an environment made of memory: a store that is a map,
// pages of a memfd, an eventfd for the doorbell to the server. The server's side of the handshake is played here, so
// that rings are built as a guest builds them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include <librettos/frontend.h>

namespace librettos::bench {

class GuestDevice {
  public:
    // Connects at once. Throws std::runtime_error when the library does not come to CONNECTED.
    GuestDevice(std::uint16_t domain, std::uint32_t ring_bytes);
    ~GuestDevice();
    GuestDevice(GuestDevice const&) = delete;
    GuestDevice& operator=(GuestDevice const&) = delete;

    lvif_device* device() { return device_; }
    std::uint16_t domain() const { return domain_; }
    // As the server would have them mapped: header page and data.
    std::span<std::byte> tx_ring() const { return tx_ring_; }
    std::span<std::byte> rx_ring() const { return rx_ring_; }
    // Readable when the guest rang.
    int doorbell_fd() const;

  private:
    struct World;

    std::uint16_t domain_;
    std::unique_ptr<World> world_;
    std::unique_ptr<std::byte[]> memory_;
    lvif_device* device_ = nullptr;
    std::span<std::byte> tx_ring_;
    std::span<std::byte> rx_ring_;
};

}  // namespace librettos::bench
