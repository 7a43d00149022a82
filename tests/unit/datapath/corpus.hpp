// SPDX-License-Identifier: BSD-2-Clause
// The frames that scapy makes (make_frames.py), with the verdicts they must get.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace librettos::test {

using Bytes = std::vector<std::uint8_t>;

Bytes from_hex(std::string_view text);
std::string to_hex(Bytes const& bytes);

// Made once per process; nullptr where there is no python3-scapy, with the reason in `why`.
nlohmann::json const* corpus(std::string& why);

// The answers of the classifier, case -> step -> frames in hex; returns what scapy finds wrong with them, one per line.
std::string check_answers(nlohmann::json const& answers);

}  // namespace librettos::test
