// SPDX-License-Identifier: BSD-2-Clause
// Reads an ELF file's program headers and notes. The file may be anything, or half of something.
#include "daemon/engine/object/inspect.hpp"

#include <elf.h>
#include <link.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

namespace librettos {
namespace {

constexpr std::size_t most_headers = 64;
constexpr std::size_t most_note_bytes = 64 * 1024;
constexpr std::string_view gnu_name{"GNU\0", 4};

std::vector<std::byte> read_at(int fd, std::uint64_t offset, std::size_t size) {
    std::vector<std::byte> bytes(size);
    if (pread(fd, bytes.data(), size, static_cast<off_t>(offset)) != static_cast<ssize_t>(size)) {
        throw EngineObjectError("is cut off");
    }
    return bytes;
}

template <typename Value>
Value value_at(std::span<std::byte const> bytes) {
    Value value;
    std::memcpy(&value, bytes.data(), sizeof value);
    return value;
}

std::string hexadecimal(std::span<std::byte const> bytes) {
    constexpr std::string_view digits = "0123456789abcdef";
    std::string text;
    for (std::byte const byte : bytes) {
        text += digits[std::to_integer<unsigned>(byte) >> 4];
        text += digits[std::to_integer<unsigned>(byte) & 15];
    }
    return text;
}

std::vector<ElfW(Phdr)> program_headers(int fd) {
    ElfW(Ehdr) header{};
    struct stat info {};
    if (fstat(fd, &info) != 0 || info.st_size < static_cast<off_t>(sizeof header)) {
        throw EngineObjectError("is no shared object");
    }
    header = value_at<ElfW(Ehdr)>(read_at(fd, 0, sizeof header));
    constexpr unsigned char own_class = sizeof(void*) == 8 ? ELFCLASS64 : ELFCLASS32;
    if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_type != ET_DYN ||
        header.e_phentsize != sizeof(ElfW(Phdr))) {
        throw EngineObjectError("is no shared object");
    }
    if (header.e_ident[EI_CLASS] != own_class || header.e_phnum > most_headers) {
        throw EngineObjectError("is no shared object of this machine");
    }
    auto const bytes = read_at(fd, header.e_phoff, header.e_phnum * sizeof(ElfW(Phdr)));
    std::vector<ElfW(Phdr)> headers(header.e_phnum);
    if (!headers.empty()) {
        std::memcpy(headers.data(), bytes.data(), bytes.size());
    }
    return headers;
}

// Takes what it knows from the notes of one segment; whether ours was among them.
bool take_notes(std::span<std::byte const> notes, std::size_t alignment, EngineObject& object) {
    bool found = false;
    auto const padded = [&](std::size_t size) { return (size + alignment - 1) / alignment * alignment; };
    while (notes.size() >= sizeof(ElfW(Nhdr))) {
        auto const note = value_at<ElfW(Nhdr)>(notes);
        notes = notes.subspan(sizeof note);
        if (note.n_namesz > most_note_bytes || note.n_descsz > most_note_bytes ||
            padded(note.n_namesz) + note.n_descsz > notes.size()) {
            return found;
        }
        std::string_view const name(reinterpret_cast<char const*>(notes.data()), note.n_namesz);
        auto const body = notes.subspan(padded(note.n_namesz), note.n_descsz);
        if (name == gnu_name && note.n_type == NT_GNU_BUILD_ID) {
            object.build = hexadecimal(body);
        }
        if (name == std::string_view(EngineNote::note_name.data(), EngineNote::note_name.size()) &&
            note.n_type == EngineNote::note_type && body.size() >= sizeof(EngineNote::Body)) {
            auto const ours = value_at<EngineNote::Body>(body);
            object.contract = ours.contract;
            object.version.assign(ours.version.data(), strnlen(ours.version.data(), ours.version.size()));
            found = true;
        }
        notes = notes.subspan(std::min(notes.size(), padded(note.n_namesz) + padded(note.n_descsz)));
    }
    return found;
}

}  // namespace

EngineObject inspect_engine(int fd) {
    EngineObject object;
    bool found = false;
    for (auto const& header : program_headers(fd)) {
        if (header.p_type == PT_LOAD) {
            object.loaded_bytes = std::max<std::uint64_t>(object.loaded_bytes, header.p_offset + header.p_filesz);
        }
        if (header.p_type == PT_NOTE && header.p_filesz <= most_note_bytes) {
            auto const notes = read_at(fd, header.p_offset, header.p_filesz);
            found |= take_notes(notes, header.p_align == 8 ? 8 : 4, object);
        }
    }
    if (!found) {
        throw EngineObjectError("is no engine of librettos-netserver");
    }
    struct stat info {};
    if (fstat(fd, &info) != 0 || static_cast<std::uint64_t>(info.st_size) < object.loaded_bytes) {
        throw EngineObjectError("is cut off");
    }
    return object;
}

}  // namespace librettos
