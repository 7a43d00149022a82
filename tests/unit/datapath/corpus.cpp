// SPDX-License-Identifier: BSD-2-Clause
// Runs make_frames.py.
#include "tests/unit/datapath/corpus.hpp"

#include <unistd.h>
#include <cstdio>
#include <filesystem>
#include <fstream>

namespace librettos::test {

namespace {

struct Output {
    std::string text;
    int status = -1;
};

Output run(std::string const& command) {
    Output output;
    FILE* const pipe = popen(command.c_str(), "r");
    if (pipe == nullptr) {
        return output;
    }
    char buffer[65536];
    for (std::size_t got = 0; (got = fread(buffer, 1, sizeof buffer, pipe)) > 0;) {
        output.text.append(buffer, got);
    }
    output.status = pclose(pipe);
    return output;
}

std::string const script = "/usr/bin/python3 -B " LIBRETTOS_MAKE_FRAMES;

}  // namespace

Bytes from_hex(std::string_view text) {
    auto const digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
    Bytes bytes(text.size() / 2);
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        bytes[i] = static_cast<std::uint8_t>(digit(text[2 * i]) * 16 + digit(text[2 * i + 1]));
    }
    return bytes;
}

std::string to_hex(Bytes const& bytes) {
    std::string text;
    for (std::uint8_t byte : bytes) {
        text += "0123456789abcdef"[byte >> 4];
        text += "0123456789abcdef"[byte & 15];
    }
    return text;
}

nlohmann::json const* corpus(std::string& why) {
    static auto const made = []() -> std::optional<nlohmann::json> {
        if (run("/usr/bin/python3 -c 'import scapy' 2>/dev/null").status != 0) {
            return std::nullopt;
        }
        Output const output = run(script);
        if (output.status != 0) {
            throw std::runtime_error("make_frames.py failed: run it by hand to see why");
        }
        return nlohmann::json::parse(output.text);
    }();
    why = "python3-scapy is not installed";
    return made.has_value() ? &*made : nullptr;
}

std::string check_answers(nlohmann::json const& answers) {
    auto const path =
        std::filesystem::temp_directory_path() / ("librettos-answers-" + std::to_string(getpid()) + ".json");
    std::ofstream(path) << answers;
    Output const output = run(script + " --check " + path.string() + " 2>&1");
    std::filesystem::remove(path);
    return output.status == 0 ? "" : output.text + "(exit status " + std::to_string(output.status) + ")";
}

}  // namespace librettos::test
