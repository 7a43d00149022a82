// SPDX-License-Identifier: BSD-2-Clause
// From host memory to the wire or to other pools (7.2, 7.10.3.4).
#include "tests/nic82599/nic.hpp"

namespace nic82599 {

void Nic::run_transmit(unsigned queue) {
    bool const on = registers_.has(reg::tx_queue(queue) + reg::DCTL, reg::DCTL_ENABLE) &&
                    registers_.has(reg::DMATXCTL, reg::DMATXCTL_TE) &&
                    (!registers_.virtualized() || registers_.in_bitmap(reg::PFVFTE(0), registers_.pool_of(queue)));
    if (!on) {
        return;
    }
    Function const owner = owner_of(queue);
    bool reported = false;
    for (;;) {
        std::uint64_t const now = machine_.now_ns();
        if (std::uint64_t const opens = rate_limits_.opens_at_ns(queue); opens > now) {
            machine_.wake_at(opens);
            break;
        }
        auto const sent = transmit_rings_[queue].next(registers_, machine_, owner, queue);
        if (!sent) {
            break;
        }
        reported = reported || sent->reported;
        events_.bad_requests += sent->faulted ? 1 : 0;
        for (Frame const& frame : sent->frames) {
            statistics_.from_queue(queue, frame.size());
            rate_limits_.sent(queue, frame.size(), now);
            send(frame, queue);
        }
    }
    if (reported && owner.is_pf()) {
        interrupts_.raise_tx_queue(queue);
    } else if (reported) {
        VfInterrupts& interrupts = vf_[owner.vf_index()].interrupts;
        interrupts.raise(interrupts.ivar_of_tx_queue(queue % registers_.queues_per_pool()));
    }
}

void Nic::send(Frame frame, unsigned queue) {
    Headers headers = parse_headers(frame);
    L2Switch::Route route{0, true};
    if (registers_.virtualized()) {
        unsigned const pool = registers_.pool_of(queue);
        std::uint32_t const insertion = registers_.get(reg::PFVMVIR(pool));
        if ((insertion & reg::VMVIR_ACTION) == reg::VMVIR_ALWAYS) {
            std::uint8_t const tag[] = {0x81, 0x00, static_cast<std::uint8_t>(insertion >> 8),
                                        static_cast<std::uint8_t>(insertion)};
            frame.insert(frame.begin() + 12, std::begin(tag), std::end(tag));
            headers = parse_headers(frame);
        }
        if (switch_.spoofed(pool, frame, headers)) {
            ++events_.spoofed;
            statistics_.spoofed();
            return;
        }
        if (pool < vfs_) {
            ++vf_[pool].good_sent;
            vf_[pool].octets_sent += frame.size() + 4;
        }
        route = switch_.from_pool(pool, frame, headers);
    }
    if (route.pools != 0) {
        if (auto receivers = targets(route.pools, frame, headers, true); !receivers.empty()) {
            hold(frame, headers, std::move(receivers));
            drain();
        }
    }
    if (route.wire && link_is_up()) {
        ++events_.transmitted;
        statistics_.sent(frame);
        machine_.transmit(frame);
    }
}

}  // namespace nic82599
