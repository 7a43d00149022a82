// SPDX-License-Identifier: BSD-2-Clause
// Xen as the host: this Linux is a domain, the toolstack gave it its name and the host its device.
#include <fcntl.h>
#include <sys/file.h>

#include <cerrno>
#include <stdexcept>

#include "guest-frontend/linux/descriptor.hpp"
#include "guest-frontend/linux/host.hpp"
#include "guest-frontend/xen/port_hypercall.h"
#include "guest-frontend/xen/xen_environment.h"

namespace librettos::guest {

namespace {

constexpr char lock_path[] = "/run/librettos-guest.lock";

// A domain has one device, and one program that drives it.
Descriptor lock_device() {
    Descriptor lock = checked_descriptor(open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600), "open the lock");
    if (flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
        throw_errno(errno, "lock /run/librettos-guest.lock: another program uses this domain's device");
    }
    return lock;
}

class HypercallPorts final : public PortAuthority {
  public:
    HypercallPorts() {
        int result = lvif_xencall_open(&xencall_);
        if (result == 0) {
            caller_ = lvif_xencall_caller(xencall_);
            result = lvif_portmap_probe(&caller_, nullptr);
        }
        if (result < 0) {
            lvif_xencall_close(xencall_);
            throw_errno(-result,
                        result == -EPERM
                            ? "ask the hypervisor for ports (the guest's kernel forbids it: load xen-privcmd with "
                              "unrestricted=1)"
                            : "ask the hypervisor for ports (the server says that it keeps the portmap)");
        }
    }
    ~HypercallPorts() override { lvif_xencall_close(xencall_); }
    HypercallPorts(HypercallPorts const&) = delete;
    HypercallPorts& operator=(HypercallPorts const&) = delete;

    int bind(Protocol protocol, std::uint16_t port) override {
        return lvif_portmap_bind(&caller_, static_cast<std::uint8_t>(protocol), port, nullptr);
    }
    int bind_any(Protocol protocol, std::uint16_t& port) override {
        return lvif_portmap_bind(&caller_, static_cast<std::uint8_t>(protocol), 0, &port);
    }
    int release(Protocol protocol, std::uint16_t port) override {
        return lvif_portmap_release(&caller_, static_cast<std::uint8_t>(protocol), port, 1);
    }
    int lease(std::uint16_t count, std::uint16_t& first) override {
        return lvif_portmap_lease(&caller_, LVIF_PORT_TCP_AND_UDP, count, &first);
    }
    int release_all() override { return lvif_portmap_release(&caller_, LVIF_PORT_TCP_AND_UDP, 0, 0); }

  private:
    lvif_xencall* xencall_ = nullptr;
    lvif_portmap_caller caller_{};
};

class XenHost final : public Host {
  public:
    XenHost() : lock_(lock_device()) {
        char const* what = nullptr;
        lvif_xen* xen = nullptr;
        if (int const result = lvif_xen_open(&lvif_xen_linux_calls, &xen, &what); result < 0) {
            throw_errno(-result, what);
        }
        xen_.reset(xen);
    }

    std::string domain_name() const override { return lvif_xen_name(xen_.get()); }
    lvif_environment environment() override {
        lvif_environment environment{};
        lvif_xen_environment(xen_.get(), &environment);
        return environment;
    }
    int watch_fd() override { return lvif_xen_watch_fd(xen_.get()); }
    bool take_events() override { return watch_fd() < 0 || lvif_xen_take_events(xen_.get()) >= 0; }
    PortAuthority& ports() override {
        if (!ports_) {
            ports_ = std::make_unique<HypercallPorts>();
        }
        return *ports_;
    }
    bool domain_outlives_program() const override { return true; }
    bool has_device() override { return lvif_xen_device_ready(xen_.get(), 0) == 0; }
    std::string trouble() const override { return lvif_xen_error(xen_.get()); }

    int event_fd(std::uint32_t port) override { return lvif_xen_event_fd(xen_.get(), port); }
    void event_clear(std::uint32_t port) override { lvif_xen_event_clear(xen_.get(), port); }

  private:
    struct Close {
        void operator()(lvif_xen* xen) const { lvif_xen_close(xen); }
    };
    Descriptor lock_;
    std::unique_ptr<lvif_xen, Close> xen_;
    std::unique_ptr<HypercallPorts> ports_;
};

}  // namespace

std::unique_ptr<Host> connect_xen_host() {
    return std::make_unique<XenHost>();
}

}  // namespace librettos::guest
