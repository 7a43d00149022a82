// SPDX-License-Identifier: BSD-2-Clause
// A guest in one process whose device the host makes late, as it may on Xen.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>

#include "guest-frontend/process/stack_device.hpp"
#include "tests/unit/linux/patch_cable.hpp"
#include "tests/unit/local/hypervisord_process.hpp"

namespace librettos::guest {
namespace {

std::atomic<bool> made = false;
int (*write_to_store)(void*, char const*, char const*) = nullptr;

// hypervisord, but nothing can be written where the device is to be until the host has made it.
class LateHost final : public Host {
  public:
    explicit LateHost(GuestOptions const& options) : host_(connect_local_host(options)) {}

    std::string domain_name() const override { return host_->domain_name(); }
    lvif_environment environment() override {
        lvif_environment environment = host_->environment();
        write_to_store = environment.store_write;
        environment.store_write = [](void* context, char const* path, char const* value) {
            return made ? write_to_store(context, path, value) : -ENOENT;
        };
        return environment;
    }
    int watch_fd() override { return host_->watch_fd(); }
    bool take_events() override { return host_->take_events(); }
    PortAuthority& ports() override { return host_->ports(); }
    bool domain_outlives_program() const override { return host_->domain_outlives_program(); }
    bool has_device() override { return made; }
    std::string trouble() const override { return host_->trouble(); }
    int event_fd(std::uint32_t port) override { return host_->event_fd(port); }
    void event_clear(std::uint32_t port) override { host_->event_clear(port); }

  private:
    std::unique_ptr<Host> host_;
};

class NoStack final : public Stack {
  public:
    void burst_begins() override {}
    void deliver(lvif_frame const& /*frame*/) override {}
    void burst_ends() override {}
    void connected(Offer const& /*offer*/, FrameLink& /*frames*/) override {}
    void link(bool /*up*/, std::uint16_t /*mtu_bytes*/) override {}
};

class LateDevice : public testing::Test {
  protected:
    LateDevice() {
        made = false;
        options_.name = "first";
        options_.hypervisor_socket = hypervisor_.socket();
    }
    void TearDown() override {
        hypervisor_.stop(SIGKILL);  // a patch cable does not answer who leaves, which would be waited for
        device_.reset();
    }
    void begin() { device_.emplace(options_, "test", stack_); }

    test::HypervisordProcess hypervisor_;
    GuestOptions options_;
    NoStack stack_;
    std::optional<StackDevice> device_;
};

TEST_F(LateDevice, IsWaitedFor) {
    PatchCable const cable(hypervisor_.socket(), {"first", "second"});
    begin();
    EXPECT_FALSE(device_->wait_until_connected(std::chrono::milliseconds(700)));
    made = true;
    EXPECT_TRUE(device_->wait_until_connected(StackDevice::for_ever));
}

TEST_F(LateDevice, IsWaitedForNoLongerThanTheProgramLives) {
    begin();
    EXPECT_FALSE(device_->wait_until_connected(std::chrono::milliseconds(10)));
    device_.reset();
}

TEST_F(LateDevice, IsRefusedARingOfAnySize) {
    made = true;
    options_.ring_bytes = 100'000;
    begin();
    try {
        device_->wait_until_connected(StackDevice::for_ever);
        FAIL();
    } catch (std::runtime_error const& error) {
        EXPECT_NE(std::string(error.what()).find("65536 bytes times a power of two"), std::string::npos);
    }
}

}  // namespace

// Instead of the library's.
std::unique_ptr<Host> connect_host(GuestOptions const& options) {
    return std::make_unique<LateHost>(options);
}

}  // namespace librettos::guest
