// SPDX-License-Identifier: BSD-2-Clause
// Tables, colours and units of librettosctl's output.
#include "daemon/ctl/text.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <utility>

namespace librettos::ctl {

namespace {

// Terminal columns of UTF-8 text: bytes that begin a character.
std::size_t columns_of(std::string_view text) {
    return static_cast<std::size_t>(std::count_if(
        text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0U) != 0x80U; }));
}

std::string with_unit(double value, std::array<char const*, 5> const& units, double step) {
    std::size_t unit = 0;
    while (unit + 1 < units.size() && value >= step) {
        value /= step;
        ++unit;
    }
    std::array<char, 48> text{};
    int const digits = unit == 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2;
    std::snprintf(text.data(), text.size(), "%.*f%s", digits, value, units[unit]);
    return text.data();
}

// Bytes of the UTF-8 character at the start of `text`; 0 when there is none.
std::size_t utf8_length(std::string_view text) {
    auto const byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    std::size_t const length = byte(0) >= 0xf0U ? 4 : byte(0) >= 0xe0U ? 3 : 2;
    bool const leads = byte(0) >= 0xc2U && byte(0) <= 0xf4U;
    if (!leads || text.size() < length)
        return 0;
    for (std::size_t i = 1; i < length; ++i)
        if ((byte(i) & 0xc0U) != 0x80U)
            return 0;
    bool const c1_control = byte(0) == 0xc2U && byte(1) < 0xa0U;
    return c1_control ? 0 : length;
}

}  // namespace

Style Style::for_descriptor(int fd) {
    char const* no_color = std::getenv("NO_COLOR");
    return Style{isatty(fd) == 1 && (no_color == nullptr || *no_color == '\0')};
}

std::string Style::paint(Tone tone, std::string_view text) const {
    if (!colours_ || tone == Tone::plain)
        return std::string{text};
    char const* code = "";
    switch (tone) {
        case Tone::plain:
            break;
        case Tone::good:
            code = "32";
            break;
        case Tone::warning:
            code = "33";
            break;
        case Tone::bad:
            code = "1;31";
            break;
        case Tone::dim:
            code = "2";
            break;
        case Tone::strong:
            code = "1";
            break;
    }
    return std::string{"\x1b["} + code + "m" + std::string{text} + "\x1b[0m";
}

void Table::add(std::vector<std::string> cells, Tone tone) {
    assert(cells.size() == columns_.size());
    for (auto& cell : cells)
        cell = cell.empty() ? "-" : printable(cell);
    rows_.push_back({std::move(cells), tone});
}

std::string Table::line(std::vector<std::string> const& cells, std::vector<std::size_t> const& widths) const {
    std::string text;
    for (std::size_t i = 0; i < cells.size(); ++i) {
        std::string const padding(widths[i] - columns_of(cells[i]), ' ');
        bool const last = i + 1 == cells.size();
        if (columns_[i].align == Align::right)
            text += padding + cells[i];
        else
            text += last ? cells[i] : cells[i] + padding;
        if (!last)
            text += "  ";
    }
    return text;
}

std::string Table::text(Style const& style) const {
    std::vector<std::string> titles;
    std::vector<std::size_t> widths;
    for (std::size_t i = 0; i < columns_.size(); ++i) {
        titles.push_back(columns_[i].title);
        widths.push_back(columns_of(columns_[i].title));
        for (auto const& row : rows_)
            widths[i] = std::max(widths[i], columns_of(row.cells[i]));
    }
    std::string text = style.paint(Tone::dim, line(titles, widths)) + "\n";
    for (auto const& row : rows_)
        text += style.paint(row.tone, line(row.cells, widths)) + "\n";
    return text;
}

std::string grouped(std::uint64_t value) {
    std::string text = std::to_string(value);
    for (std::size_t place = text.size(); place > 3;) {
        place -= 3;
        text.insert(place, 1, ',');
    }
    return text;
}

std::string duration(std::uint64_t seconds) {
    struct Unit {
        std::uint64_t seconds;
        char const* name;
    };
    static constexpr std::array<Unit, 4> units{{{86400, " d"}, {3600, " h"}, {60, " min"}, {1, " s"}}};
    for (std::size_t i = 0; i + 1 < units.size(); ++i) {
        if (seconds < units[i].seconds)
            continue;
        auto const rest = seconds % units[i].seconds / units[i + 1].seconds;
        auto text = std::to_string(seconds / units[i].seconds) + units[i].name;
        return rest == 0 ? text : text + " " + std::to_string(rest) + units[i + 1].name;
    }
    return std::to_string(seconds) + " s";
}

std::string bit_rate(double bits_per_s) {
    return with_unit(bits_per_s, {" bit/s", " kbit/s", " Mbit/s", " Gbit/s", " Tbit/s"}, 1000);
}

std::string frame_rate(double per_s) {
    return with_unit(per_s, {"/s", " k/s", " M/s", " G/s", " T/s"}, 1000);
}

std::string byte_size(std::uint64_t bytes) {
    static constexpr std::array<char const*, 4> units{" bytes", " KiB", " MiB", " GiB"};
    std::size_t unit = 0;
    while (unit + 1 < units.size() && bytes >= 1024 && bytes % 1024 == 0) {
        bytes /= 1024;
        ++unit;
    }
    return std::to_string(bytes) + units[unit];
}

std::string counted(std::uint64_t count, std::string_view one) {
    return grouped(count) + " " + std::string{one} + (count == 1 ? "" : one.ends_with("ch") ? "es" : "s");
}

std::string printable(std::string_view text) {
    std::string clean;
    while (!text.empty()) {
        auto const first = static_cast<unsigned char>(text.front());
        std::size_t length = 1;
        if (first >= 0x80U)
            length = utf8_length(text);
        else if (first < 0x20U || first == 0x7fU)
            length = 0;
        clean += length == 0 ? "?" : text.substr(0, length);
        text.remove_prefix(std::max<std::size_t>(length, 1));
    }
    return clean;
}

std::optional<std::uint64_t> parse_quantity(std::string_view text) {
    std::uint64_t factor = 1;
    if (!text.empty()) {
        switch (text.back()) {
            case 'k':
            case 'K':
                factor = 1'000;
                break;
            case 'M':
                factor = 1'000'000;
                break;
            case 'G':
                factor = 1'000'000'000;
                break;
            case 'T':
                factor = 1'000'000'000'000;
                break;
            default:
                break;
        }
    }
    if (factor != 1)
        text.remove_suffix(1);
    std::uint64_t whole = 0;
    auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), whole);
    if (error != std::errc{} || whole > UINT64_MAX / factor)
        return std::nullopt;
    std::uint64_t value = whole * factor;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    if (text.empty())
        return value;
    if (text.front() != '.' || text.size() == 1)
        return std::nullopt;
    for (char const digit : text.substr(1)) {
        factor /= 10;
        if (digit < '0' || digit > '9' || factor == 0)
            return std::nullopt;  // "1.5" frames, or more digits than the suffix has zeros
        auto const part = static_cast<std::uint64_t>(digit - '0') * factor;
        if (value > UINT64_MAX - part)
            return std::nullopt;
        value += part;
    }
    return value;
}

}  // namespace librettos::ctl
