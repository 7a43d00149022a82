// SPDX-License-Identifier: BSD-2-Clause
// Files of engines as an operator may install them: whole, changed, cut off, or none at all.
#pragma once

#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>

#include "daemon/engine/object/contract.hpp"

namespace librettos {

inline std::string bytes_of(std::string const& path) {
    std::ostringstream text;
    text << std::ifstream(path, std::ios::binary).rdbuf();
    return text.str();
}

// As installers do: the name goes from the old file to the new one in one step.
inline void install_engine(std::string const& path, std::string const& bytes) {
    std::ofstream(path + ".new", std::ios::binary) << bytes;
    std::filesystem::permissions(path + ".new", std::filesystem::perms(0644));
    std::filesystem::rename(path + ".new", path);
}

// The same engine with another note.
template <typename Change>
std::string with_note(std::string engine, Change const& change) {
    EngineNote note{};
    auto const name = engine.find(std::string(EngineNote::note_name.data(), EngineNote::note_name.size()));
    if (name == std::string::npos) {
        throw std::runtime_error("no note");
    }
    char* const at = engine.data() + name - offsetof(EngineNote, name);
    std::memcpy(&note, at, sizeof note);
    change(note.body);
    std::memcpy(at, &note, sizeof note);
    return engine;
}

inline std::string with_version(std::string const& engine, std::string_view version) {
    return with_note(engine, [&](EngineNote::Body& body) { body.version = note_text<32>(version); });
}

inline std::string with_contract(std::string const& engine, std::uint32_t number) {
    return with_note(engine, [&](EngineNote::Body& body) { body.contract.number = number; });
}

}  // namespace librettos
