// SPDX-License-Identifier: BSD-2-Clause
// The VFs, as the holder says that they are, and whose they are.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "daemon/engine/holder_messages.hpp"
#include "portmap/domain_id.hpp"

namespace librettos::control {

struct Vf {
    std::string name;
    bool present = false;
    bool link_up = false;
    std::optional<VfTraffic> traffic = {};
    std::optional<DomId> owner = {};  // has it, or is on the way there or back
};

class VfTable {
  public:
    // None is present until the holder says so.
    explicit VfTable(std::vector<std::string> const& names) {
        for (auto const& name : names)
            vfs_.push_back({.name = name});
    }

    std::vector<Vf> const& all() const { return vfs_; }
    // Null when there is no such VF, which a record of an earlier server's may name.
    Vf const* find(std::uint16_t vf) const { return vf < vfs_.size() ? &vfs_[vf] : nullptr; }

    // True: the VF or its link went away.
    bool update(HolderMessage const& state) {
        if (state.vf >= vfs_.size())
            return false;
        auto& vf = vfs_[state.vf];
        bool const lost = (vf.present && state.present == 0) || (vf.link_up && state.up == 0);
        vf.present = state.present != 0;
        vf.link_up = state.up != 0;
        vf.traffic = state.counted != 0 ? std::optional(state.traffic) : std::nullopt;
        return lost;
    }

    std::size_t free() const {
        return static_cast<std::size_t>(
            std::count_if(vfs_.begin(), vfs_.end(), [](Vf const& vf) { return vf.present && !vf.owner; }));
    }
    // One that is nobody's and there, the first such.
    std::optional<std::uint16_t> choose() const {
        for (std::size_t vf = 0; vf < vfs_.size(); ++vf) {
            if (vfs_[vf].present && !vfs_[vf].owner)
                return static_cast<std::uint16_t>(vf);
        }
        return std::nullopt;
    }

    void claim(std::uint16_t vf, DomId owner) {
        if (vf < vfs_.size())
            vfs_[vf].owner = owner;
    }
    void release(DomId owner) {
        for (auto& vf : vfs_) {
            if (vf.owner == owner)
                vf.owner.reset();
        }
    }

  private:
    std::vector<Vf> vfs_;
};

}  // namespace librettos::control
