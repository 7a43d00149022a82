// SPDX-License-Identifier: BSD-2-Clause
// librettos-hypervisord as the host: the domain begins and ends with the connection.
#include <array>
#include <cerrno>
#include <cstdlib>
#include <string>

#include "guest-frontend/linux/descriptor.hpp"
#include "guest-frontend/linux/host.hpp"
#include "guest-frontend/linux/hypervisor_ports.hpp"

namespace librettos::guest {

namespace {

class LocalHost final : public Host {
  public:
    LocalHost(lvif_hv* hypervisor, std::string name)
        : hypervisor_(hypervisor), name_(std::move(name)), ports_(hypervisor) {}

    std::string domain_name() const override { return name_; }
    lvif_environment environment() override {
        lvif_environment environment{};
        lvif_hv_environment(hypervisor_.get(), &environment);
        return environment;
    }
    int watch_fd() override { return lvif_hv_fd(hypervisor_.get()); }
    bool take_events() override {
        std::array<char, LVIF_HV_PATH_MAX + 1> watched{};
        std::array<char, LVIF_HV_PATH_MAX + 1> changed{};
        int result = 0;
        while ((result = lvif_hv_take_event(hypervisor_.get(), watched.data(), changed.data())) == 1) {
        }
        return result == 0;
    }
    PortAuthority& ports() override { return ports_; }
    bool domain_outlives_program() const override { return false; }
    bool has_device() override { return true; }
    std::string trouble() const override { return {}; }

    int event_fd(std::uint32_t port) override { return lvif_hv_event_fd(hypervisor_.get(), port); }
    void event_clear(std::uint32_t port) override { lvif_hv_event_clear(hypervisor_.get(), port); }

  private:
    struct Close {
        void operator()(lvif_hv* hypervisor) const { lvif_hv_close(hypervisor); }
    };
    std::unique_ptr<lvif_hv, Close> hypervisor_;
    std::string name_;
    HypervisorPorts ports_;
};

}  // namespace

std::unique_ptr<Host> connect_local_host(GuestOptions const& options) {
    char const* const socket = options.hypervisor_socket.empty() ? nullptr : options.hypervisor_socket.c_str();
    lvif_hv* hypervisor = nullptr;
    if (int const result = lvif_hv_connect(socket, LVIF_HV_GUEST, options.name.c_str(), &hypervisor); result < 0) {
        char const* const named = socket != nullptr ? socket : std::getenv("LIBRETTOS_HYPERVISOR_SOCKET");
        std::string const at = named != nullptr && *named != '\0' ? named : LVIF_HV_DEFAULT_SOCKET;
        throw_errno(-result,
                    result == -EEXIST   ? "become guest '" + options.name + "' (there is one: choose another --name)"
                    : result == -EACCES ? "connect to librettos-hypervisord at " + at +
                                              " (it is for root and for members of the group that its --group names)"
                                        : "connect to librettos-hypervisord at " + at +
                                              " (is it running? --hypervisor-socket names another socket)");
    }
    return std::make_unique<LocalHost>(hypervisor, options.name);
}

}  // namespace librettos::guest
