// SPDX-License-Identifier: BSD-2-Clause
// The component as the rump kernel sees it, on the double of the platform.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <string>

#include "minios_double.hpp"

extern "C" {
struct iovec_of_netbsd {
    void* base;
    unsigned long bytes;
};
struct virtif_sc {
    int unused;
};
struct virtif_user;
int rumpcomp_lvif_create(int unit, virtif_sc* kernel_half, std::uint8_t* address, virtif_user** user_half);
void rumpcomp_lvif_send(virtif_user* user_half, iovec_of_netbsd* parts, std::size_t n);
void rumpcomp_lvif_dying(virtif_user* user_half);
void rumpcomp_lvif_destroy(virtif_user* user_half);
#include "hypercalls.h"
}

class Component : public testing::Test {
  protected:
    ~Component() override {
        if (interface != nullptr) {
            destroy();
        }
        EXPECT_TRUE(os.violations.empty()) << os.violations.size() << ", first: " << os.violations.front();
        EXPECT_TRUE(os.world.violations.empty()) << os.world.violations.front();
        EXPECT_EQ(os.held(), "");
    }

    int create() {
        if (os.world.read(FakeServer::frontend + "/state").empty()) {
            os.world.write(FakeServer::frontend + "/state", "1");
        }
        return os.in_kernel([this] { return rumpcomp_lvif_create(0, &kernel_half, address.data(), &interface); });
    }
    void destroy() {
        os.in_kernel([this] {
            rumpcomp_lvif_dying(interface);
            rumpcomp_lvif_destroy(interface);
        });
        interface = nullptr;
    }
    // In three parts, as mbufs come.
    void send(std::string frame) {
        std::array<iovec_of_netbsd, 3> parts{
            {{frame.data(), 14}, {frame.data() + 14, 20}, {frame.data() + 34, frame.size() - 34}}};
        os.in_kernel([&] { rumpcomp_lvif_send(interface, parts.data(), parts.size()); });
    }
    static std::string frame(unsigned number, std::size_t bytes = 100) {
        std::string frame(bytes, static_cast<char>('a' + number % 26));
        frame.replace(40, 8, std::to_string(10'000'000 + number));
        return frame;
    }
    bool wait_for_frames(std::size_t count) {
        return os.run_until([this, count] { return os.frames.size() >= count; });
    }

    MiniOs os;
    virtif_sc kernel_half{};
    virtif_user* interface = nullptr;
    std::array<std::uint8_t, 6> address{};
};
