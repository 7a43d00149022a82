// SPDX-License-Identifier: BSD-2-Clause
// The server's end of an event channel of a guest's.
//
// A handle of /dev/xen/evtchn for each channel: the data threads wait for channels one by one, a descriptor's
// readability is then that channel's, and notifying takes no lock that another channel's binding holds. It costs a
// descriptor and about 1 KiB of kernel memory each; the number of channels is bounded by Xen first (4,096 or 131,072
// per domain).
//
// The kernel masks a channel when it tells us of an event, until clear(): however often a guest notifies, there is one
// event per clear().
#pragma once

#include <memory>

extern "C" {  // the headers do not say so
#include <xenevtchn.h>
}

#include "drivers/hypervisor/hypervisor.hpp"

namespace librettos {

class XenEventChannel final : public EventChannel {
  public:
    XenEventChannel(DomId domain, EventPort guest_port);

    EventPort local_port() const override { return port_; }
    int fd() const override { return xenevtchn_fd(handle_.get()); }
    void notify() noexcept override;
    void clear() noexcept override;

  private:
    struct Close {
        void operator()(xenevtchn_handle* handle) const { xenevtchn_close(handle); }  // unbinds
    };
    std::unique_ptr<xenevtchn_handle, Close> handle_;
    EventPort port_;
};

}  // namespace librettos
