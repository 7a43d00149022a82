// SPDX-License-Identifier: BSD-2-Clause
// What a process that drives the NIC and the device process say to each other: one request, one reply, over a
// SOCK_SEQPACKET socket at <folder>/bus. Descriptors travel beside requests (SCM_RIGHTS). A write has no reply: as on
// PCIe it is posted, and done before whatever the same process asks for next.
#pragma once

#include <cstdint>
#include <type_traits>

namespace nic82599 {

constexpr char const* bus_socket_name = "bus";
constexpr char const* sysfs_folder_name = "devices";

struct BusRequest {
    enum class What : std::uint32_t {
        join,       // a: a domain that exists already (a forked child's parent's), or 0; reply: the domain
        read,       // a: offset; reply: the value
        write,      // a: offset, b: value; no reply
        reset,      //
        attach,     //
        interrupt,  // a: vector; with an eventfd, or without: none
        map,        // a: I/O address, b: size, c: offset in the file; with the file
        unmap,      // a: I/O address, b: size; reply: bytes
    };
    What what;
    std::int32_t function;  // Function::number()
    std::uint64_t a, b, c;
};
static_assert(std::is_trivially_copyable_v<BusRequest> && sizeof(BusRequest) == 32);

struct BusReply {
    std::int32_t error;  // errno value
    std::uint32_t unused;
    std::uint64_t value;
};
static_assert(std::is_trivially_copyable_v<BusReply> && sizeof(BusReply) == 16);

}  // namespace nic82599
