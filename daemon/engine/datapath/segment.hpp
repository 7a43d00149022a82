// SPDX-License-Identifier: BSD-2-Clause
// Cuts a large TCP frame into segments that fit the wire: software TSO for TCP over IPv4 and IPv6, with or without a
// VLAN tag. For ports that cannot do it themselves; each segment is one contiguous frame, checksums done.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace librettos {

class Segmenter {
  public:
    // The headers of `frame` are copied and checked here; its payload is read by write(), each byte once, so the
    // frame may lie in memory that its sender can still change. `gso_size`: bytes of TCP payload per segment. nullopt
    // when the frame is not an unfragmented TCP packet (over IPv6: without extension headers) whose lengths hold, or
    // gso_size is 0.
    static std::optional<Segmenter> make(std::span<std::uint8_t const> frame, std::uint16_t gso_size);

    std::size_t count() const;  // at least 1: a frame without payload is one segment
    std::size_t ip_at() const { return ip_at_; }
    std::size_t tcp_at() const { return tcp_at_; }
    std::size_t header_bytes() const { return payload_at_; }
    std::size_t packet_end() const { return end_; }      // what follows is padding
    std::size_t segment_bytes(std::size_t index) const;  // whole frame; index < count()

    // Writes segment `index` and returns its length; 0, and nothing is written, when `out` is too small.
    std::size_t write(std::size_t index, std::span<std::uint8_t> out) const;

  private:
    static constexpr std::size_t most_header_bytes = 14 + 4 + 60 + 60;

    Segmenter() = default;
    bool read_ip();
    bool read_tcp();
    void finish_ip(std::span<std::uint8_t> segment, std::size_t index) const;
    void finish_tcp(std::span<std::uint8_t> segment, std::size_t index) const;

    std::span<std::uint8_t const> frame_;
    std::array<std::uint8_t, most_header_bytes> headers_{};
    std::size_t headers_known_ = 0;  // bytes of headers_ that were in the frame
    std::size_t ip_at_ = 0;
    std::size_t tcp_at_ = 0;
    std::size_t payload_at_ = 0;
    std::size_t end_ = 0;  // of the IP packet; what follows is padding
    std::size_t gso_size_ = 0;
    bool ipv4_ = false;
    std::uint64_t address_sum_ = 0;  // the pseudo header but for the length
};

// How many segments a frame of `frame_bytes` with `header_length` bytes of headers gives; gso_size > 0.
inline std::size_t segment_count(std::size_t frame_bytes, std::size_t header_length, std::size_t gso_size) {
    std::size_t const payload = frame_bytes > header_length ? frame_bytes - header_length : 0;
    return payload == 0 ? 1 : (payload + gso_size - 1) / gso_size;
}

}  // namespace librettos
