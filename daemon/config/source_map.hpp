// SPDX-License-Identifier: BSD-2-Clause
// Where each value of a configuration file stands, so that a rule broken between two values can still name the line.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace librettos {

class SourceMap {
  public:
    explicit SourceMap(std::string_view file) : file_(file) {}

    // `key` is dotted, with an index for list elements: "network.ipv4", "dedicated.ipv4[2]".
    void note(std::string key, std::uint32_t line, std::uint32_t column);
    bool has(std::string const& key) const { return places_.contains(key); }

    // Throws ConfigError "file:line:column: key: text". A key that is not in the file (its default is at fault, or it
    // is missing) is reported at its nearest enclosing table, else at 1:1.
    [[noreturn]] void fail(std::string const& key, std::string const& text) const;
    [[noreturn]] void fail_at(std::uint32_t line, std::uint32_t column, std::string const& text) const;

  private:
    struct Place {
        std::uint32_t line;
        std::uint32_t column;
    };
    std::string file_;
    std::map<std::string, Place> places_;
};

}  // namespace librettos
