// SPDX-License-Identifier: BSD-2-Clause
// Flow director (7.1.2.7): filters that name a queue for a flow, exact ("perfect match") or by signature, added and
// removed through FDIRCMD. Filters on MAC and VLAN or on tunnels are not of the 82599.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "tests/nic82599/headers.hpp"
#include "tests/nic82599/register_file.hpp"

namespace nic82599 {

class FlowDirector {
  public:
    struct Match {
        unsigned queue;
        bool drop;
        std::uint16_t software_id;  // signature in signature mode
        std::uint16_t hash;
        bool reported;  // in the descriptor
    };

    explicit FlowDirector(RegisterFile& registers) : registers_(registers) {}

    void reset();
    void command(std::uint32_t value);  // FDIRCMD written
    void control(std::uint32_t value);  // FDIRCTRL written
    std::optional<Match> match(std::span<std::uint8_t const> frame, Headers const& headers);

    std::size_t size() const { return filters_.size(); }

  private:
    struct Fields {
        std::uint32_t source = 0, destination = 0;  // IPv4; of IPv6 the words XORed, as the hash needs them
        std::uint16_t source_port = 0, destination_port = 0, vlan = 0, flex = 0;
        std::uint8_t flow_type = 0;
        bool operator==(Fields const&) const = default;
    };
    struct Filter {
        Fields fields;
        std::uint32_t hash;  // as in FDIRHASH
        std::uint32_t command;
    };

    bool enabled() const { return (registers_.get(reg::FDIRCTRL) & 3) != 0; }
    bool perfect() const { return registers_.has(reg::FDIRCTRL, reg::FDIRCTRL_PERFECT); }
    std::uint32_t bucket_mask() const;
    Fields programmed(std::uint32_t command) const;
    std::optional<Fields> of_frame(std::span<std::uint8_t const> frame, Headers const& headers) const;
    static std::uint16_t hash(Fields const& fields, std::uint32_t key);
    std::vector<Filter>::iterator find(std::uint32_t hash);

    RegisterFile& registers_;
    std::vector<Filter> filters_;
};

}  // namespace nic82599
