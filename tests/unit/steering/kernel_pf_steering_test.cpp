// SPDX-License-Identifier: BSD-2-Clause
// What steering by a PF of the kernel's says when it is not to be had. With a NIC it is tested in tests/xen (IgbVf): no
// interface of software has VFs here.
#include <gmock/gmock.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "drivers/steering/kernel_pf_steering.hpp"

namespace librettos {
namespace {

namespace fs = std::filesystem;

// A folder like /sys/class/net, in which `lo` has VFs.
class KernelPfSteeringTest : public testing::Test {
  protected:
    KernelPfSteeringTest() {
        fs::create_directories(interfaces / "lo/device");
        for (int number = 0; number < 2; ++number)
            fs::create_symlink("../0000:01:10." + std::to_string(2 * number),
                               interfaces / "lo/device" / ("virtfn" + std::to_string(number)));
    }
    ~KernelPfSteeringTest() override { fs::remove_all(interfaces); }

    std::string why_not(std::string const& pf, std::string const& vf) const {
        try {
            KernelPfSteering const made({pf, {vf}, interfaces});
        } catch (SteeringError const& error) {
            EXPECT_EQ(error.error, ENODEV);
            return error.what();
        }
        return "";
    }

    fs::path const interfaces =
        fs::path(testing::TempDir()) / ("kernel-pf-" + std::to_string(static_cast<long>(getpid())));
};

TEST_F(KernelPfSteeringTest, WhatIsMissingIsSaid) {
    EXPECT_THAT(why_not("no-such-nic", "0000:01:10.0"), testing::HasSubstr("there is no interface no-such-nic"));
    EXPECT_THAT(why_not("lo", "0000:01:10.4"),
                testing::AllOf(testing::HasSubstr("0000:01:10.4 is no VF of lo"), testing::HasSubstr("sriov_numvfs")));
}

TEST_F(KernelPfSteeringTest, AnInterfaceWhoseDriverHasNoVfsIsRefused) {
    EXPECT_EQ(why_not("lo", "0000:01:10.2"), "lo has no VF 1");
}

}  // namespace
}  // namespace librettos
