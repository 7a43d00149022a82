// SPDX-License-Identifier: BSD-2-Clause
// Steering by an 82599 whose PF is DPDK's: an address is in the NIC's table for one pool, the port's or a VF's.
//
// Theory of operation. DPDK can add a pool to an address and take the address out of the table, not change its pool. In
// two pools at once each frame would come twice; so an address leaves the table and comes back with the other pool. In
// between, microseconds, frames from the wire for it go to the default pool, which is the port's, since the port is
// promiscuous. Frames from another VF do not: what VFs send to an address that is in no table leaves through the wire.
// One that is sent in that moment by a VF for a guest that is just being switched is lost, and so is what the guest
// itself would send by its VF, as from a foreign address: it sends by the rings when it is switched. An engine that
// finds a guest direct has it steered once more, and then the table is left as it is.
//
// A VF keeps an address of its own, which is nobody's, and its guest's frames carry the guest's: its driver may set
// that (the PF says yes and does nothing, vf_mailbox_policy.hpp), or not care. From its own address a VF may always
// send.
//
// A VF is in one VLAN, or in none. The NIC puts the tag on what it sends (PFVMVIR), gives it only what has that tag
// (PFVLVF), and drops what its user has tagged for another (PFVFSPOOF); its driver takes the tag off what it receives,
// as those of DPDK (when asked) and Linux do. The port is in the VLAN as well.
//
// DPDK answers a VF that says it has reset itself before it tells anybody: it lets the VF send, without a tag, and it
// is microseconds until the VLAN is set up again here, or the VF is stopped again. No driver sends in that moment. So
// who has a send queue open then loses the VF until it is given anew, and with it the guest's address; what is left to
// a hostile guest that repeats the message are untagged frames from the VF's own address, nobody's, in such moments.
// DPDK's PF leaves no way to prevent them. After its other resets the hardware sends nothing for a VF before that
// message.
//
// Of a function level reset (its user was killed, or unplugged) DPDK tells nobody. That a VF no longer receives is seen
// by its queues, which a reset disables; the kernel's list tells whether it is there. Both are looked at by vfs().
//
// All is done in DPDK's interrupt thread (interrupt_thread.hpp).
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "drivers/nic/ixgbe_registers.hpp"
#include "drivers/nic/vf_mailbox_policy.hpp"
#include "drivers/steering/steering.hpp"

namespace librettos {

struct IxgbeOptions {
    std::uint16_t port_id = 0;     // of the PF in DPDK, started
    std::string pf;                // PCI address
    std::vector<std::string> vfs;  // PCI addresses of those that guests may have; the others stay disabled
    // That each queue of a VF may send; 0: no limit. All of them together fit the link.
    std::uint32_t rate_mbps = 0;
    std::uint16_t vlan = 0;  // of the port's frames on the wire; 0: untagged
    std::optional<IxgbeRegisters> registers =
        {};  // the PF's; without them traffic is not counted, and VFs have no VLAN
};

class IxgbeSteering final : public Steering {
  public:
    // All VFs are free. The port becomes promiscuous, and frames for a VF's full queue are dropped from now on, as they
    // would hold up everybody's. SteeringError: no 82599, or one without VFs.
    explicit IxgbeSteering(IxgbeOptions options);
    ~IxgbeSteering() override;
    IxgbeSteering(IxgbeSteering const&) = delete;
    IxgbeSteering& operator=(IxgbeSteering const&) = delete;

    // A VF is present while the kernel knows it and the NIC answers. Its link is up when the port's is and its user has
    // brought it up since it was given; down again (once, at least) when its user, or the kernel, has reset it.
    std::vector<VfState> vfs() override;
    int changes_fd() const override { return changes_fd_; }
    void give(std::uint16_t vf, VfSettings const& settings) override;
    void steer_to_vf(std::uint16_t vf, VfMac const& mac) override;
    void steer_to_port(VfMac const& mac) override;
    void take(std::uint16_t vf, VfMac const& mac) override;

    // What VFs asked for and did not get.
    std::uint64_t refused() const;

  private:
    struct Vf {
        std::string name;
        bool given = false, in_use = false;
        bool receiving = false;    // its queues were enabled when they were looked at last
        bool down = false;         // they were, and are no longer
        bool interrupted = false;  // it was receiving, and was reset since vfs() said so
        bool counted = false;      // since its user brought it up
        VfMac mac{};
        std::uint16_t vlan = 0;
        WrappingCounter received_frames{32}, received_bytes{36}, sent_frames{32}, sent_bytes{36};
    };

    void set_up();
    void choose_vfs();
    std::uint16_t number_of(std::uint16_t vf) const;
    void steer(VfMac const& mac, std::uint16_t pool);
    void enable(std::uint16_t number, bool on) const;
    void filter_vlans() const;
    void admit(std::uint16_t vlan, std::uint16_t pool, bool admitted) const;
    void move_to_vlan(std::uint16_t number, std::uint16_t vlan);
    bool limit_rate(std::uint16_t number) const;
    int hold_in_vlan(std::uint16_t number) const;
    bool sends(std::uint16_t number) const;
    bool is_present(std::uint16_t number) const;
    VfState look_at(std::uint16_t number, bool port_is_up);
    static void count(Vf& vf, VfTraffic const& now);
    void wake() const;
    friend struct IxgbeEvents;
    MailboxVerdict on_message(std::uint16_t vf, std::span<std::uint32_t const> message);

    IxgbeOptions options_;
    int changes_fd_ = -1;
    std::uint16_t most_frame_bytes_ = 0;
    std::vector<std::uint16_t> numbers_;      // of options_.vfs, as the NIC counts
    std::vector<Vf> vfs_;                     // by number; touched by the interrupt thread alone, as all below
    std::map<VfMac, std::uint16_t> pool_of_;  // addresses that were steered
    std::uint64_t refused_ = 0;
};

}  // namespace librettos
