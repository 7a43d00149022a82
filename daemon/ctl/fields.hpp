// SPDX-License-Identifier: BSD-2-Clause
// Reading fields of a reply. A key that is missing or null gives the empty value, since servers of one schema may
// differ in what they add; anything of the wrong type throws nlohmann::json::type_error.
#pragma once

#include <cstdint>
#include <string>

#include <nlohmann/json.hpp>

namespace librettos::ctl {

using Json = nlohmann::json;

// Null when there is none.
inline Json field(Json const& object, char const* key) {
    return object.is_object() && object.contains(key) ? object.at(key) : Json{};
}

inline std::string text_field(Json const& object, char const* key) {
    auto const value = field(object, key);
    return value.is_null() ? std::string{} : value.get<std::string>();
}

// Also takes what JSON numbers can be and a count cannot: a negative one is 0.
inline std::uint64_t number_field(Json const& object, char const* key) {
    auto const value = field(object, key);
    if (value.is_null() || (value.is_number() && value.get<double>() < 0))
        return 0;
    return value.is_number_float() ? static_cast<std::uint64_t>(value.get<double>()) : value.get<std::uint64_t>();
}

inline bool flag_field(Json const& object, char const* key) {
    auto const value = field(object, key);
    return !value.is_null() && value.get<bool>();
}

// The strings of a list, with ", " between them.
inline std::string joined_field(Json const& object, char const* key) {
    std::string text;
    for (auto const& item : field(object, key))
        text += (text.empty() ? "" : ", ") + item.get<std::string>();
    return text;
}

}  // namespace librettos::ctl
