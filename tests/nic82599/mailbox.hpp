// SPDX-License-Identifier: BSD-2-Clause
// PF to VF mailboxes (7.10.2.9): 64 bytes of memory per VF that one side owns at a time, bits that announce messages
// and acknowledgements, and how a VF learns of resets.
#pragma once

#include <array>
#include <cstdint>
#include <functional>

#include "tests/nic82599/register_file.hpp"

namespace nic82599 {

class Mailbox {
  public:
    struct Listeners {
        std::function<void()> pf;             // a VF asks for the PF's attention
        std::function<void(unsigned vf)> vf;  // the PF for that VF's
    };

    Mailbox(RegisterFile& registers, unsigned vfs, Listeners listeners)
        : registers_(registers), vfs_(vfs), listeners_(std::move(listeners)) {}

    std::uint32_t read_pf(unsigned vf) const;
    void write_pf(unsigned vf, std::uint32_t value);
    std::uint32_t read_vf(unsigned vf);  // clears what is read to clear
    void write_vf(unsigned vf, std::uint32_t value);

    void pf_reset();             // VFs see it (RSTI) until the PF says that it is ready again
    void pf_ready();             // CTRL_EXT.PFRSTD
    void vf_reset(unsigned vf);  // by VFCTRL.RST or a function level reset; the PF gets PFVFLRE

    // Fault: what VFs say does not reach the PF. Nothing is made up for later.
    void set_silent(bool silent) { silent_ = silent; }

  private:
    struct Box {
        bool vf_owns = false, pf_owns = false;
        std::uint32_t status = reg::vf::MAILBOX_RSTI;  // PFSTS, PFACK, RSTI, RSTD as the VF sees them
    };

    RegisterFile& registers_;
    unsigned vfs_;
    Listeners listeners_;
    std::array<Box, RegisterFile::pools> boxes_{};
    bool silent_ = false;
};

}  // namespace nic82599
