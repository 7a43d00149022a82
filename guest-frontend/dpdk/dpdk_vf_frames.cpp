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
    forget_left();
    auto const end = pending_.begin() + pending_count_;
    std::for_each(pending_.begin(), end, [](rte_mbuf* frame) { rte_mbuf_refcnt_update(frame, 1); });
    std::uint16_t const taken = rte_eth_tx_burst(port_, 0, pending_.data(), pending_count_);
    given_.insert(given_.end(), pending_.begin(), pending_.begin() + taken);
    std::for_each(pending_.begin() + taken, end, [](rte_mbuf* frame) { rte_mbuf_refcnt_update(frame, -1); });
    std::move(pending_.begin() + taken, end, pending_.begin());
    pending_count_ = static_cast<std::uint16_t>(pending_count_ - taken);
    sent_ += taken;
    return pending_count_ == 0;
}

// The driver frees them in turn, at its leisure.
void DpdkVf::forget_left() {
    for (; !given_.empty() && rte_mbuf_refcnt_read(given_.front()) == 1; given_.pop_front()) {
        rte_pktmbuf_free(given_.front());
    }
}

void DpdkVf::forget_given() {
    std::for_each(given_.begin(), given_.end(), rte_pktmbuf_free);
    given_.clear();
}

// One that so many came after, by the state of its descriptor: they end before the next to be filled.
bool DpdkVf::has_left(std::size_t younger) const {
    return rte_eth_tx_descriptor_status(port_, 0, static_cast<std::uint16_t>(tx_descriptors_ - 1 - younger)) !=
           RTE_ETH_TX_DESC_FULL;
}

bool DpdkVf::sent_all() {
    publish();
    return pending_count_ == 0 && has_left(0);
}

void DpdkVf::take_back(std::function<void(std::uint8_t const* frame, std::uint32_t length)> const& take) {
    forget_left();
    std::size_t waiting = 0;
    while (waiting < given_.size() && !has_left(waiting)) {
        ++waiting;
    }
    auto const take_one = [&](rte_mbuf const* frame) {
        auto const* const bytes = rte_pktmbuf_mtod(frame, std::uint8_t const*);
        if (!VfWatch::is_frame_to_self({bytes, frame->data_len})) {
            take(bytes, frame->data_len);
        }
    };
    std::for_each(given_.end() - static_cast<std::ptrdiff_t>(waiting), given_.end(), take_one);
    std::for_each(pending_.begin(), pending_.begin() + pending_count_, take_one);
    forget_given();
    rte_pktmbuf_free_bulk(pending_.data(), std::exchange(pending_count_, std::uint16_t{0}));
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
    return watch_.alive(
        sent_, may_send, [this] { return makes_progress(); }, [this] { send_to_self(); });
}

void DpdkVf::send_to_self() {
    std::uint8_t* frame = nullptr;
    if (pending_count_ == 0 && reserve(VfWatch::frame_to_self_bytes, frame) == 0) {
        VfWatch::write_frame_to_self(mac_, {frame, VfWatch::frame_to_self_bytes});
        commit(VfWatch::frame_to_self_bytes);
        publish();
    }
}

}  // namespace librettos::guest
