// SPDX-License-Identifier: BSD-2-Clause
// A VF as a network interface: found, kept where nobody sees it but us, and brought back.
//
// While it is ours the VF is in a network namespace without a name, in which nothing but it exists: there the kernel
// has no address to answer for, so that frames are taken by our packet socket alone, and the guest's programs see one
// interface throughout. When this process dies, the namespace goes with it: a NIC's VF falls back to the host's
// namespace, a veth is removed and made anew by the server. Nothing has to be cleaned up by the next.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "guest-frontend/linux/descriptor.hpp"
#include "guest-frontend/linux/netlink_objects.hpp"
#include "guest-frontend/process/switch_order.hpp"

namespace librettos::guest {

// The calling thread's network namespace.
Descriptor present_network_namespace();

// One at a time. Functions throw std::system_error or std::runtime_error where nothing else is said. Control thread.
class VfInterface {
  public:
    // wanted: an interface's name, or "auto", one with the right MAC that nobody uses. It is looked for in the calling
    // thread's network namespace, where `own` is not meant, and in the one that `home` names.
    VfInterface(std::string wanted, std::string own, Descriptor home);
    ~VfInterface();
    VfInterface(VfInterface const&) = delete;
    VfInterface& operator=(VfInterface const&) = delete;

    // Finds the VF and makes it ours, down. False: there is none as yet.
    bool take(VfMac const& mac, std::uint16_t mtu_bytes);
    // A packet socket with virtio-net headers, non-blocking, for frames of the VF alone.
    Descriptor open_socket() const;
    void bring_up();
    bool has_link() const;
    // Down, and where it was found. What is gone already, is.
    void put_back() noexcept;
    void set_mtu(std::uint16_t mtu_bytes);
    std::string const& name() const { return name_; }

    // Readable when something about the VF may have changed; then ask has_link().
    int change_fd() const;
    bool take_changes();

  private:
    struct Place {
        Descriptor name_space;
        NetlinkSocket netlink;
    };

    bool look_in(Place& place, bool only_idle, VfMac const& mac);
    Link find_ours() const;
    Link require_ours() const;
    void set_mac(VfMac const& mac) const;
    void change(rtnl_link* changes, std::string const& tried) const;

    std::string const wanted_;
    std::string const own_;
    Place guest_, home_, hidden_;
    NetlinkSocket changes_;
    Place* found_in_ = nullptr;  // null: there is none of ours
    std::string name_;
};

}  // namespace librettos::guest
