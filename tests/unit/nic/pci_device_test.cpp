// SPDX-License-Identifier: BSD-2-Clause
// One process at a time has the device, and it is reset before.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>

#include "drivers/nic/pci_device.hpp"

namespace librettos {
namespace {

namespace fs = std::filesystem;

class PciDevice : public testing::Test {
  protected:
    PciDevice() {
        fs::create_directories(device);
        std::ofstream(device / "config") << "configuration space";
        std::ofstream(device / "reset") << "";
    }
    ~PciDevice() override { fs::remove_all(root); }
    std::string content(char const* file) const {
        std::ifstream stream(device / file);
        return {std::istreambuf_iterator<char>(stream), {}};
    }

    std::string const address = "0000:03:00.0";
    fs::path const root = fs::temp_directory_path() / ("librettos-claim-" + std::to_string(getpid()));
    fs::path const device = root / "sys/bus/pci/devices" / address;
};

TEST_F(PciDevice, IsResetWhenClaimed) {
    PciClaim const claim(address, root);
    EXPECT_TRUE(claim.was_reset());
    EXPECT_EQ(content("reset"), "1");
}

TEST_F(PciDevice, WithoutAResetIsNotSaidToBeReset) {
    fs::remove(device / "reset");
    EXPECT_FALSE(can_be_reset(address, root));
    EXPECT_FALSE(PciClaim(address, root).was_reset());
    EXPECT_FALSE(fs::exists(device / "reset"));
}

TEST_F(PciDevice, HasItsVfsResetAndCountsThoseThatCannotBe) {
    EXPECT_EQ(reset_vfs(address, root), 0u);
    for (int vf = 0; vf < 2; ++vf) {
        fs::path const function = device / ".." / ("0000:03:10." + std::to_string(vf));
        fs::create_directories(function);
        fs::create_directory_symlink(fs::canonical(function), device / ("virtfn" + std::to_string(vf)));
        std::ofstream(function / "reset") << "";
    }
    EXPECT_EQ(reset_vfs(address, root), 0u);
    EXPECT_EQ(content("virtfn0/reset"), "1");
    EXPECT_EQ(content("virtfn1/reset"), "1");
    fs::remove_all(device / "../0000:03:10.1");
    EXPECT_EQ(reset_vfs(address, root), 1u);
    EXPECT_EQ(content("reset"), "") << "not the PF";
}

TEST_F(PciDevice, OfAnotherProcessIsNeitherTakenNorReset) {
    int const other = open((device / "config").c_str(), O_RDONLY | O_CLOEXEC);
    ASSERT_EQ(flock(other, LOCK_EX), 0);
    try {
        PciClaim const claim(address, root);
        FAIL() << "it was taken";
    } catch (std::system_error const& error) {
        EXPECT_EQ(error.code().value(), EBUSY);
        EXPECT_THAT(error.what(), testing::HasSubstr(address));
    }
    EXPECT_EQ(content("reset"), "");
    close(other);
    EXPECT_TRUE(PciClaim(address, root).was_reset());
}

// A predecessor that is being torn down holds it for a moment.
TEST_F(PciDevice, IsWaitedFor) {
    int ready[2];
    ASSERT_EQ(pipe(ready), 0);
    pid_t const child = fork();
    if (child == 0) {
        int const fd = open((device / "config").c_str(), O_RDONLY);
        flock(fd, LOCK_EX);
        static_cast<void>(!write(ready[1], "1", 1));
        usleep(300'000);
        _exit(0);
    }
    char byte = 0;
    ASSERT_EQ(read(ready[0], &byte, 1), 1);
    EXPECT_NO_THROW(PciClaim(address, root));
    waitpid(child, nullptr, 0);
    close(ready[0]);
    close(ready[1]);
}

TEST_F(PciDevice, ClaimHasANumberBelowAndOneAboveTheDevices) {
    int const pin = open("/dev/null", O_RDONLY | O_CLOEXEC);
    PciClaim claim(address, root);
    int const opened_later = open("/dev/null", O_RDONLY | O_CLOEXEC);
    claim.outlive_device({pin});
    int above = 0;
    for (auto const& entry : fs::directory_iterator("/proc/self/fd")) {
        std::error_code error;
        auto const target = fs::read_symlink(entry, error);
        int const number = std::stoi(entry.path().filename());
        above += number > opened_later + 100 && (target == device / "config" || target == "/dev/null") ? 1 : 0;
    }
    EXPECT_EQ(above, 2);
    close(opened_later);
    close(pin);
}

TEST_F(PciDevice, TranslationIsTheGroups) {
    EXPECT_FALSE(is_translated(address, root));
    fs::create_directories(device / "iommu_group");
    std::ofstream(device / "iommu_group/type") << "identity\n";
    EXPECT_FALSE(is_translated(address, root));
    std::ofstream(device / "iommu_group/type") << "DMA-FQ\n";
    EXPECT_TRUE(is_translated(address, root));
}

}  // namespace
}  // namespace librettos
