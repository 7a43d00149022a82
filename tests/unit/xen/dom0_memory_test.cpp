// SPDX-License-Identifier: BSD-2-Clause
// Who takes memory from dom0, by xl's configuration and Xen's command line.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "drivers/hypervisor/xen/dom0_memory.hpp"

namespace librettos {
namespace {

namespace fs = std::filesystem;
using Verdict = StartCheck::Verdict;

class Dom0Memory : public testing::Test {
  protected:
    Dom0Memory() { write("proc/xen/capabilities", "control_d\n"); }
    ~Dom0Memory() override { fs::remove_all(root); }
    void write(char const* path, char const* text) const {
        fs::create_directories((root / path).parent_path());
        std::ofstream(root / path) << text;
    }
    Verdict verdict(char const* xl_conf, char const* command_line) const {
        write("etc/xen/xl.conf", xl_conf);
        auto const checks = check_dom0_memory(command_line, root);
        return checks.size() == 1 ? checks[0].verdict : Verdict::bad;
    }
    fs::path const root = fs::temp_directory_path() / ("librettos-dom0-" + std::to_string(getpid()));
};

TEST_F(Dom0Memory, IsNobodysBusinessElsewhere) {
    write("proc/xen/capabilities", "\n");
    EXPECT_TRUE(check_dom0_memory("", root).empty());
    fs::remove_all(root / "proc");
    EXPECT_TRUE(check_dom0_memory("", root).empty());
}

TEST_F(Dom0Memory, IsLeftAloneWhenXlIsTold) {
    for (char const* conf : {"autoballoon=\"off\"\n", "autoballoon=0", "  autoballoon = 'off' # fixed\n",
                             "autoballoon=\"on\"\nautoballoon=\"off\"\n"})
        EXPECT_EQ(verdict(conf, "console=com1"), Verdict::good) << conf;
}

TEST_F(Dom0Memory, IsLeftAloneWhenItsSizeIsFixed) {
    for (char const* conf : {"", "autoballoon=\"auto\"\n", "#autoballoon=\"on\"\nvif.default.script=x\n"}) {
        EXPECT_EQ(verdict(conf, "console=com1 dom0_mem=4G,max:4G"), Verdict::good) << conf;
        EXPECT_EQ(verdict(conf, "dom0_mem=4G"), Verdict::good) << conf;
        EXPECT_EQ(verdict(conf, "console=com1 no-dom0_mem=4G"), Verdict::warning) << conf;
    }
}

TEST_F(Dom0Memory, IsTakenOtherwise) {
    EXPECT_EQ(verdict("autoballoon=\"on\"\n", "dom0_mem=4G"), Verdict::warning);
    EXPECT_EQ(verdict("autoballoon=1\n", "dom0_mem=4G"), Verdict::warning);
    write("etc/xen/xl.conf", "");
    auto const checks = check_dom0_memory("", root);
    ASSERT_EQ(checks.size(), 1U);
    EXPECT_THAT(checks[0].mend, testing::AllOf(testing::HasSubstr("dom0_mem="), testing::HasSubstr("xl.conf")));
}

}  // namespace
}  // namespace librettos
