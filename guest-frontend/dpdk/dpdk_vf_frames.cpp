// SPDX-License-Identifier: BSD-2-Clause
#include <sys/eventfd.h>

#include <algorithm>
#include <utility>

#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "guest-frontend/dpdk/dpdk_vf.hpp"

namespace librettos::guest {

namespace {

constexpr std::uint16_t burst = 32;
constexpr std::size_t most_gathered = 11'900;
constexpr auto look_every = std::chrono::milliseconds(100);
constexpr auto longest_standstill = std::chrono::seconds(1);
constexpr std::uint32_t self_test_bytes = 60;
constexpr std::uint8_t loopback_type[] = {0x90, 0x00};  // Ethernet's configuration testing protocol

}  // namespace

bool DpdkVf::gather() {
    std::array<rte_mbuf*, burst> frames{};
    for (int bursts = 0; bursts < 2 && gathered_.size() < most_gathered; ++bursts) {
        std::uint16_t const count = rte_eth_rx_burst(port_, 0, frames.data(), burst);
        gathered_.insert(gathered_.end(), frames.begin(), frames.begin() + count);
        if (count < burst) {
            return false;
        }
    }
    return gathered_.size() < most_gathered;
}

bool DpdkVf::front(lvif_frame& frame) {
    if (gathered_.empty()) {
        return false;
    }
    rte_mbuf const* const first = gathered_.front();
    frame = {rte_pktmbuf_mtod(first, std::uint8_t const*), first->data_len, {}};
    return true;
}

void DpdkVf::release() {
    rte_pktmbuf_free(gathered_.front());
    gathered_.pop_front();
}

bool DpdkVf::arm() {
    if (event_fd_ >= 0) {
        rte_eth_dev_rx_intr_enable(port_, 0);
    }
    std::size_t const before = gathered_.size();
    gather();
    return gathered_.size() == before;
}

void DpdkVf::disarm() {
    if (event_fd_ >= 0) {
        rte_eth_dev_rx_intr_disable(port_, 0);
        eventfd_t ignored = 0;
        eventfd_read(event_fd_, &ignored);
    }
}

int DpdkVf::reserve(std::uint32_t length, std::uint8_t*& frame) {
    if (length > mtu_bytes_ + std::uint32_t{RTE_ETHER_HDR_LEN}) {
        return LVIF_EMSGSIZE;
    }
    if (pending_count_ == most_pending) {
        publish();
    }
    if (pending_count_ < most_pending && reserved_ == nullptr) {
        reserved_ = rte_pktmbuf_alloc(pool_);
    }
    if (pending_count_ == most_pending || reserved_ == nullptr) {
        return LVIF_EAGAIN;
    }
    frame = rte_pktmbuf_mtod(reserved_, std::uint8_t*);
    return 0;
}

void DpdkVf::commit(std::uint32_t length) {
    reserved_->data_len = static_cast<std::uint16_t>(length);
    reserved_->pkt_len = length;
    pending_[pending_count_++] = reserved_;
    reserved_ = nullptr;
}

bool DpdkVf::publish() {
    if (pending_count_ == 0) {
        return true;
    }
    std::uint16_t const taken = rte_eth_tx_burst(port_, 0, pending_.data(), pending_count_);
    std::move(pending_.begin() + taken, pending_.begin() + pending_count_, pending_.begin());
    pending_count_ = static_cast<std::uint16_t>(pending_count_ - taken);
    sent_ += taken;
    return pending_count_ == 0;
}

// By the state of the descriptor before the next to be filled.
bool DpdkVf::sent_all() {
    publish();
    rte_eth_txq_info queue{};
    if (pending_count_ != 0 || rte_eth_tx_queue_info_get(port_, 0, &queue) != 0) {
        return pending_count_ == 0;
    }
    return rte_eth_tx_descriptor_status(port_, 0, static_cast<std::uint16_t>(queue.nb_desc - 1)) !=
           RTE_ETH_TX_DESC_FULL;
}

bool DpdkVf::makes_progress() {
    if (sent_all()) {
        return true;
    }
    rte_eth_stats counted{};
    rte_eth_stats_get(port_, &counted);
    return std::exchange(seen_left_, counted.opackets) != counted.opackets;
}

bool DpdkVf::alive(bool may_send) {
    auto const now = Clock::now();
    if (now >= look_again_) {
        look_again_ = now + look_every;
        if (makes_progress()) {
            progress_ = now;
        }
        if (std::exchange(seen_sent_, sent_) == sent_ && may_send) {
            send_to_self();
            seen_sent_ = sent_;
        }
    }
    return now < progress_ + longest_standstill;
}

void DpdkVf::send_to_self() {
    std::uint8_t* frame = nullptr;
    if (pending_count_ != 0 || reserve(self_test_bytes, frame) != 0) {
        return;
    }
    std::fill_n(frame, self_test_bytes, std::uint8_t{0});
    std::copy(mac_.begin(), mac_.end(), frame);
    std::copy(mac_.begin(), mac_.end(), frame + mac_.size());
    std::copy(std::begin(loopback_type), std::end(loopback_type), frame + 2 * mac_.size());
    commit(self_test_bytes);
    publish();
}

}  // namespace librettos::guest
