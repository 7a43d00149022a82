// SPDX-License-Identifier: BSD-2-Clause
// Text for people: aligned tables, numbers with units, colours where the terminal wants them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace librettos::ctl {

enum class Tone : std::uint8_t { plain, good, warning, bad, dim, strong };

// Colours only on a terminal and without NO_COLOR (no-color.org).
class Style {
  public:
    explicit Style(bool colours) : colours_(colours) {}
    static Style for_descriptor(int fd);
    std::string paint(Tone tone, std::string_view text) const;

  private:
    bool colours_;
};

// Columns are as wide as their widest cell, two blanks apart; the last one is not padded.
class Table {
  public:
    enum class Align : std::uint8_t { left, right };
    struct Column {
        std::string title;
        Align align = Align::left;
    };

    explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}
    // One cell per column; an empty one is shown as "-".
    void add(std::vector<std::string> cells, Tone tone = Tone::plain);
    bool empty() const { return rows_.empty(); }
    std::string text(Style const& style) const;

  private:
    struct Row {
        std::vector<std::string> cells;
        Tone tone;
    };
    std::string line(std::vector<std::string> const& cells, std::vector<std::size_t> const& widths) const;

    std::vector<Column> columns_;
    std::vector<Row> rows_;
};

std::string grouped(std::uint64_t value);                        // 1,234,567
std::string duration(std::uint64_t seconds);                     // 2 h 3 min
std::string bit_rate(double bits_per_s);                         // 1.50 Gbit/s
std::string frame_rate(double per_s);                            // 14.9 M/s
std::string byte_size(std::uint64_t bytes);                      // 256 KiB
std::string counted(std::uint64_t count, std::string_view one);  // 1 guest, 3 guests, 3 watches
// Control characters and bytes that are no UTF-8 become '?': what a guest chose cannot drive the terminal.
std::string printable(std::string_view text);

// A number with an optional decimal suffix k, M, G or T ("10M", "1.5G"). Nothing when it is none, or does not fit.
std::optional<std::uint64_t> parse_quantity(std::string_view text);

}  // namespace librettos::ctl
