// SPDX-License-Identifier: BSD-2-Clause
// An Intel 82599 port as software: the PF and its VFs as a driver sees them through their BARs, and the wire.
//
// Every access has its whole effect before it returns: a write to a tail register sends the frames. One lock serializes
// drivers, wire and tests. See README.md for what is not modelled.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <vector>

#include "tests/nic82599/eeprom.hpp"
#include "tests/nic82599/flow_director.hpp"
#include "tests/nic82599/guarded_machine.hpp"
#include "tests/nic82599/interrupts.hpp"
#include "tests/nic82599/l2_switch.hpp"
#include "tests/nic82599/machine.hpp"
#include "tests/nic82599/mailbox.hpp"
#include "tests/nic82599/rate_limits.hpp"
#include "tests/nic82599/receive_ring.hpp"
#include "tests/nic82599/register_file.hpp"
#include "tests/nic82599/register_trace.hpp"
#include "tests/nic82599/sfp.hpp"
#include "tests/nic82599/statistics.hpp"
#include "tests/nic82599/transmit_ring.hpp"

namespace nic82599 {

// What happened that no register tells.
struct Events {
    std::uint64_t received = 0;     // from the wire
    std::uint64_t filtered = 0;     // for nobody here
    std::uint64_t delivered = 0;    // into host memory, once per pool
    std::uint64_t looped_back = 0;  // from pool to pool, once per receiver
    std::uint64_t transmitted = 0;  // to the wire
    std::uint64_t spoofed = 0;
    std::uint64_t queue_disabled = 0;  // its queue or its pool does not receive
    std::uint64_t queue_full = 0;      // dropped, drop enabled
    std::uint64_t missed = 0;          // the packet buffer was full
    std::uint64_t bad_requests = 0;    // descriptors that the NIC cannot follow
    std::uint64_t dma_faults = 0;      // accesses that the IOMMU refused
};

class Nic {
  public:
    static constexpr std::uint32_t pf_bar_bytes = 0x80000, vf_bar_bytes = 0x4000;
    static constexpr unsigned pf_vectors = 64, vf_vectors = 3, most_vfs = 63;

    // `vfs`: as many as sriov_numvfs has. `machine` outlives the NIC.
    Nic(Machine& machine, Eeprom::Mac const& mac, unsigned vfs);

    // --- the bus
    std::uint32_t read(Function function, reg::Offset offset);
    void write(Function function, reg::Offset offset, std::uint32_t value);
    void function_level_reset(Function function);

    // --- the wire
    // A frame arrives, without CRC. False: nobody here wanted it, or there was no room.
    bool receive(Frame const& frame);
    void set_link(bool up);

    // While it lives the NIC does nothing: for changes to what it reaches.
    [[nodiscard]] std::unique_lock<std::mutex> pause() { return std::unique_lock(mutex_); }

    // To be called when Machine::wake_at() asked for it; earlier and later calls do no harm.
    void run_due();

    // --- faults
    void set_module_present(bool present);
    void damage_eeprom(bool damaged);
    void set_mailbox_silent(bool silent);
    void fail_dma(unsigned accesses);  // the IOMMU refuses that many from now on
    void set_removed(bool removed);    // reads are all ones, nothing else happens; back again it is as after a reset
    void set_vf_removed(unsigned vf, bool removed);  // likewise of one VF; the others and the PF go on

    // --- for tests
    std::uint32_t peek(reg::Offset offset);  // of the PF, without side effects
    Events events();
    void set_trace(RegisterTrace* trace);  // nullptr: none
    unsigned vfs() const { return vfs_; }

  private:
    struct Vf {
        Vf(Function function, Machine& machine) : interrupts(function, machine) {}
        VfInterrupts interrupts;
        bool removed = false;
        std::vector<std::uint32_t> words = std::vector<std::uint32_t>(vf_bar_bytes / 4);
        std::uint32_t good_received = 0, multicast_received = 0, good_sent = 0;
        std::uint64_t octets_received = 0, octets_sent = 0;  // 36 bits are seen
    };
    struct Target {
        unsigned pool, queue;
        ReceiveReport report;
    };
    struct Held {  // in the packet buffer
        Frame frame;
        Headers headers;
        std::vector<Target> targets;
    };

    // nic.cpp
    void reset_device();
    void reset_vf(unsigned vf);
    bool link_is_up() const { return link_up_ && sfp_.present(); }
    bool is_gone(Function function) const;
    Function owner_of(unsigned queue) const;

    // nic_pf_registers.cpp, nic_vf_registers.cpp
    std::uint32_t read_pf(reg::Offset offset);
    void write_pf(reg::Offset offset, std::uint32_t value);
    bool write_pf_control(reg::Offset offset, std::uint32_t value);
    bool write_pf_virtualization(reg::Offset offset, std::uint32_t value);
    void write_queue_drop(std::uint32_t value);
    void after_queue_write(reg::Offset offset);
    std::uint32_t read_vf(unsigned vf, reg::Offset offset);
    bool read_vf_counter(reg::Offset offset, std::uint32_t& value) const;
    static std::uint32_t counter(Vf const& vf, reg::Offset offset);
    void write_vf(unsigned vf, reg::Offset offset, std::uint32_t value);
    reg::Offset vf_queue_register(unsigned vf, reg::Offset offset) const;

    // nic_receive.cpp, nic_transmit.cpp
    std::vector<Target> targets(PoolSet pools, Frame const& frame, Headers const& headers, bool looped_back);
    bool hold(Frame const& frame, Headers const& headers, std::vector<Target> targets);
    void drain();
    bool deliver(Held const& held, Target const& target);
    bool choose_queue(Target& target, Frame const& frame, Headers const& headers);
    void run_transmit(unsigned queue);
    void send(Frame frame, unsigned queue);

    std::mutex mutex_;
    GuardedMachine machine_;
    unsigned const vfs_;
    Eeprom::Mac const mac_;
    RegisterFile registers_;
    Eeprom eeprom_;
    Sfp sfp_;
    Statistics statistics_;
    L2Switch switch_;
    FlowDirector flow_director_;
    PfInterrupts interrupts_;
    Mailbox mailbox_;
    RateLimits rate_limits_;
    std::vector<Vf> vf_;
    std::array<TransmitRing, RegisterFile::queues> transmit_rings_;
    std::array<bool, RegisterFile::queues> queue_drop_{};
    std::deque<Held> packet_buffer_;
    std::size_t packet_buffer_bytes_ = 0;
    bool link_up_ = true;
    Events events_;
    RegisterTrace* trace_ = nullptr;
};

}  // namespace nic82599
