// SPDX-License-Identifier: BSD-2-Clause
// The protocol spoken by hand, for what the client library would never send.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "hypervisord_client.h"
#include "hypervisord_protocol.h"

namespace librettos::test {

struct RawReply {
    bool closed = false;  // hypervisord ended the connection instead
    int status = 0;
    std::array<std::uint64_t, LVIF_HVP_ARGUMENTS> result{};
    std::string payload;
    std::vector<int> fds;  // the caller's
};

class RawConnection {
  public:
    explicit RawConnection(std::string const& socket);
    ~RawConnection();
    RawConnection(RawConnection const&) = delete;
    RawConnection& operator=(RawConnection const&) = delete;

    // A well-formed request of this operation; change it and send() it, or call().
    static std::vector<std::byte> request(lvif_hvp_operation operation, std::vector<std::uint64_t> const& arguments,
                                          std::vector<std::string> const& texts = {});
    // False: the connection is closed.
    bool send(std::span<std::byte const> packet, std::vector<int> const& fds = {});
    RawReply receive();
    RawReply call(lvif_hvp_operation operation, std::vector<std::uint64_t> const& arguments,
                  std::vector<std::string> const& texts = {}, std::vector<int> const& fds = {});
    RawReply hello(lvif_hv_role role, std::string const& name);
    int fd() const { return fd_; }

  private:
    int fd_;
    int events_ = -1;
};

}  // namespace librettos::test
