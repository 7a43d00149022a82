// SPDX-License-Identifier: BSD-2-Clause
// Asks with ioctl(): flags, then ETHTOOL_GLINKSETTINGS.
#include "drivers/nic/interface_link.hpp"

#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cstddef>

#include "drivers/unique_fd.hpp"

namespace librettos {
namespace {

// 0: not known.
std::uint32_t speed_mbps(int socket, ifreq request) {
    constexpr std::size_t most_mask_words = 3 * 127;  // the number is an int8_t
    alignas(ethtool_link_settings) std::byte room[sizeof(ethtool_link_settings) + most_mask_words * sizeof(__u32)]{};
    auto& settings = *reinterpret_cast<ethtool_link_settings*>(room);
    settings.cmd = ETHTOOL_GLINKSETTINGS;
    request.ifr_data = reinterpret_cast<char*>(room);
    // The kernel first says, as a negative number, how many words its masks have.
    if (ioctl(socket, SIOCETHTOOL, &request) != 0 || settings.link_mode_masks_nwords >= 0) {
        return 0;
    }
    settings.cmd = ETHTOOL_GLINKSETTINGS;
    settings.link_mode_masks_nwords = static_cast<__s8>(-settings.link_mode_masks_nwords);
    bool const known = ioctl(socket, SIOCETHTOOL, &request) == 0 && settings.speed != static_cast<__u32>(SPEED_UNKNOWN);
    return known ? settings.speed : 0;
}

}  // namespace

LinkState interface_link(std::string const& interface) {
    UniqueFd const socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ifreq request{};
    interface.copy(request.ifr_name, IFNAMSIZ - 1);
    constexpr int usable = IFF_UP | IFF_RUNNING;
    if (ioctl(socket.get(), SIOCGIFFLAGS, &request) != 0 || (request.ifr_flags & usable) != usable) {
        return {};
    }
    return {true, speed_mbps(socket.get(), request)};
}

}  // namespace librettos
