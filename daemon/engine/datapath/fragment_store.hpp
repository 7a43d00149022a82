// SPDX-License-Identifier: BSD-2-Clause
// Private copies of the fragments that came before their first fragment: fixed memory, taken once. (Kept as port
// buffers they would be lost to the pool when the engine is killed.)
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

namespace librettos {

class FragmentStore {
  public:
    struct Entry {
        std::uint32_t length;
        std::uint8_t* bytes;
    };

    FragmentStore(std::uint32_t entries, std::uint32_t frame_bytes)
        : frame_bytes_(frame_bytes), memory_(new std::uint8_t[std::size_t{entries} * frame_bytes]), entries_(entries) {
        free_.reserve(entries);
        for (std::uint32_t i = 0; i < entries; ++i) {
            entries_[i] = {0, memory_.get() + std::size_t{i} * frame_bytes};
            free_.push_back(&entries_[i]);
        }
    }

    // nullptr: full, or the frame is longer than frame_bytes.
    Entry* keep(std::uint8_t const* frame, std::uint32_t length) noexcept {
        if (free_.empty() || length > frame_bytes_) {
            return nullptr;
        }
        Entry* const entry = free_.back();
        free_.pop_back();
        std::memcpy(entry->bytes, frame, length);
        entry->length = length;
        return entry;
    }

    void drop(Entry* entry) noexcept { free_.push_back(entry); }

  private:
    std::uint32_t frame_bytes_;
    std::unique_ptr<std::uint8_t[]> memory_;
    std::vector<Entry> entries_;
    std::vector<Entry*> free_;
};

}  // namespace librettos
