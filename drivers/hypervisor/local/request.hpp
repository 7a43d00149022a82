// SPDX-License-Identifier: BSD-2-Clause
// Requests of hypervisord's clients, taken apart and checked for form; and replies. hypervisord_protocol.h has the
// rules.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "drivers/unique_fd.hpp"
#include "hypervisord_protocol.h"

namespace librettos {

struct Request {
    lvif_hvp_operation operation = LVIF_HVP_HELLO;
    std::uint32_t sequence = 0;
    std::array<std::uint64_t, LVIF_HVP_ARGUMENTS> argument{};
    std::array<std::string_view, 2> text{};  // into the packet
    UniqueFd fd;
};

struct Reply {
    int status = 0;
    std::array<std::uint64_t, LVIF_HVP_ARGUMENTS> result{};
    std::string payload;
    std::vector<UniqueFd> fds;
};

// Empty: the packet breaks the protocol and its sender is to be disconnected. `fds` came with it; one is taken if it is
// wanted.
std::optional<Request> parse_request(std::span<std::byte const> packet, std::vector<UniqueFd>& fds);

enum class Privilege { guest, server, control, any };
// Who may ask for this at all: a guest only, the server's connection only, server and control, anybody.
Privilege privilege_of(lvif_hvp_operation operation);

}  // namespace librettos
