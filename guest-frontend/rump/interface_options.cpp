// SPDX-License-Identifier: BSD-2-Clause
#include "guest-frontend/rump/interface_options.hpp"

#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdlib>
#include <sstream>
#include <stdexcept>

namespace librettos::guest {

namespace {

void set_mode(GuestOptions& options, std::string const& mode) {
    if (mode != "shared" && mode != "dedicated") {
        throw std::runtime_error("no such mode of a guest: '" + mode + "' (shared, dedicated)");
    }
    options.dedicated = mode == "dedicated";
}

void set_number(std::uint32_t& number, std::string const& text, char const* what) {
    char const* const end = text.data() + text.size();
    auto const result = std::from_chars(text.data(), end, number);
    if (result.ec != std::errc{} || result.ptr != end) {
        throw std::runtime_error(std::string(what) + ": '" + text + "'");
    }
}

void set_ring(GuestOptions& options, std::string const& bytes) {
    set_number(options.ring_bytes, bytes, "no size of a ring (65536 times a power of two)");
}

void set_poll(GuestOptions& options, std::string const& microseconds) {
    constexpr char const* what = "no time to look on before sleeping (0 to 1000000 microseconds)";
    set_number(options.poll_us, microseconds, what);
    if (options.poll_us > LVIF_POLL_MAX_US) {
        throw std::runtime_error(std::string(what) + ": '" + microseconds + "'");
    }
}

void set_option(GuestOptions& options, std::string const& part) {
    std::size_t const equals = part.find('=');
    std::string const name = part.substr(0, equals);
    std::string const value = equals == std::string::npos ? "" : part.substr(equals + 1);
    if (name == "name" && !value.empty()) {
        options.name = value;
    } else if (name == "mode") {
        set_mode(options, value);
    } else if (name == "ring") {
        set_ring(options, value);
    } else if (name == "vf" && !value.empty()) {
        options.vf = value;
    } else if (name == "poll") {
        set_poll(options, value);
    } else if (name == "socket" && !value.empty()) {
        options.hypervisor_socket = value;
    } else {
        throw std::runtime_error("no such option of the interface: '" + part +
                                 "' (name=NAME,mode=shared|dedicated,ring=BYTES,poll=MICROSECONDS,vf=PCI-ADDRESS,"
                                 "socket=PATH)");
    }
}

bool is_number(std::string const& text) {
    return std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isdigit(c) != 0; });
}

}  // namespace

GuestOptions interface_options(std::string const& device) {
    GuestOptions options;
    options.vf = "none";
    options.name = std::string(program_invocation_short_name) + "-" + std::to_string(getpid());
    if (char const* const name = std::getenv("LIBRETTOS_GUEST_NAME")) {
        options.name = name;
    }
    if (char const* const mode = std::getenv("LIBRETTOS_GUEST_MODE")) {
        set_mode(options, mode);
    }
    if (char const* const bytes = std::getenv("LIBRETTOS_RING_BYTES")) {
        set_ring(options, bytes);
    }
    if (char const* const vf = std::getenv("LIBRETTOS_VF")) {
        options.vf = vf;
    }
    if (char const* const microseconds = std::getenv("LIBRETTOS_POLL_US")) {
        set_poll(options, microseconds);
    }
    if (!is_number(device)) {
        std::istringstream parts(device);
        for (std::string part; std::getline(parts, part, ',');) {
            set_option(options, part);
        }
    }
    return options;
}

}  // namespace librettos::guest
