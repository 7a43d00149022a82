// SPDX-License-Identifier: BSD-2-Clause
// A small directory to classify in, the one that frames_world.py describes: guests 1 and 2 share the server's
// address, 3 and 4 have their own.
#pragma once

#include <memory>

#include "daemon/engine/datapath/classify.hpp"
#include "daemon/engine/datapath/directory.hpp"

namespace librettos::test {

NetworkIdentity small_network();

class SmallWorld {
  public:
    explicit SmallWorld(NetworkIdentity const& network = small_network());

    lvif_portmap& ports() { return *ports_; }
    Directory& directory() { return directory_; }
    Classifier& classifier() { return classifier_; }
    GuestIdentity identity(Slot slot) const;

  private:
    std::unique_ptr<lvif_portmap> ports_;
    Directory directory_;
    Classifier classifier_;
};

inline Ipv4Address ipv4(std::uint8_t a, std::uint8_t b, std::uint8_t c, std::uint8_t d) {
    return {a | static_cast<std::uint32_t>(b) << 8 | static_cast<std::uint32_t>(c) << 16 |
            static_cast<std::uint32_t>(d) << 24};
}

}  // namespace librettos::test
