// SPDX-License-Identifier: BSD-2-Clause
// A VF that DPDK drives in this process: net_ixgbe_vf of an 82599, or another VF driver of DPDK's.
//
// Theory of operation
//
// EAL starts with the first switch, without huge pages and without any device. The VF is probed by up() and let go of
// by down(): between switches another process may have it. Both reset the VF, by way of the PF's mailbox, which takes
// 50 ms each time and seconds when the PF does not answer; so up() has a thread of its own do it.
//
// The VF keeps the address that it has. The PF steers frames for the guest's address to it, and lets it send from that.
//
// Nobody tells a VF that it was reset behind its driver's back or unplugged: VfWatch finds out. That, or a link that
// goes, is the VF's end.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <future>
#include <string>
#include <vector>

#include "guest-frontend/process/vf.hpp"
#include "guest-frontend/process/vf_watch.hpp"

struct rte_mbuf;
struct rte_mempool;

namespace librettos::guest {

class DpdkVf final : public Vf {
  public:
    // A PCI address, as of 0000:01:10.0.
    explicit DpdkVf(std::string pci_address);
    ~DpdkVf() override;
    DpdkVf(DpdkVf const&) = delete;
    DpdkVf& operator=(DpdkVf const&) = delete;

    int up(VfMac const& mac, std::uint16_t vlan, std::uint16_t mtu_bytes) override;
    bool gone() override;
    void down() override;
    std::string name() const override { return pci_address_; }

    bool gather() override;
    bool front(lvif_frame& frame) override;
    void release() override;
    int event_fd() const override { return event_fd_; }
    bool arm() override;
    void disarm() override;

    int reserve(std::uint32_t length, std::uint8_t*& frame) override;
    void commit(std::uint32_t length) override;
    bool publish() override;
    bool sent_all() override;
    void take_back(std::function<void(std::uint8_t const* frame, std::uint32_t length)> const& take) override;
    bool alive(bool may_send) override;

  private:
    using Clock = std::chrono::steady_clock;

    void start();
    void attach();
    void set_up_queues();
    void detach() noexcept;
    bool has_link() const;
    bool makes_progress();
    bool has_left(std::size_t younger) const;
    void forget_left();
    void forget_given();
    void send_to_self();

    std::string const pci_address_;
    VfMac mac_{};
    std::uint16_t mtu_bytes_ = 0;
    std::uint16_t port_ = 0;
    rte_mempool* pool_ = nullptr;  // of this MTU
    int event_fd_ = -1;
    bool attached_ = false;

    // who switches
    std::future<void> starting_;
    bool started_ = false;
    bool had_link_ = false;
    Clock::time_point look_at_link_{};
    std::atomic<bool> reset_by_pf_ = false;  // DPDK's interrupt thread

    // who receives
    std::deque<rte_mbuf*> gathered_;

    // who sends
    static constexpr std::size_t most_pending = 64;
    std::array<rte_mbuf*, most_pending> pending_{};  // committed
    std::uint16_t pending_count_ = 0;
    std::deque<rte_mbuf*> given_;  // to the driver, and kept until it has let go of them, the oldest first
    rte_mbuf* reserved_ = nullptr;
    std::uint16_t tx_descriptors_ = 0;
    std::uint64_t sent_ = 0;       // published, and taken by the driver
    std::uint64_t seen_left_ = 0;  // by the NIC's own count, at the last look
    VfWatch watch_;
};

}  // namespace librettos::guest
