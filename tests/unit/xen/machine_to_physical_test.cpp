// SPDX-License-Identifier: BSD-2-Clause
// Xen's machine-to-physical table is found, turned round and asked again; a failure of any call is said, nothing stays
// open.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <system_error>

#include "drivers/hypervisor/xen/machine_to_physical.hpp"
#include "drivers/hypervisor/xen/open_machine_addresses.hpp"
#include "tests/unit/xen/fake_machine_frames.hpp"

namespace librettos::test {
namespace {

using ::testing::UnorderedElementsAre;

constexpr auto extent = FakeMachineFrames::frames_per_extent;
constexpr auto nobody = FakeMachineFrames::nobody;

MATCHER_P2(Candidate, index, machine_frame, "") {
    return arg.index == static_cast<std::size_t>(index) &&
           arg.machine_frame == static_cast<std::uint64_t>(machine_frame);
}

class MachineToPhysicalTable : public testing::Test {
  protected:
    MachineToPhysicalTable() {
        xen.reset();
        xen.table = {{5, 70}, {6, 71}, {extent - 1, 72}, {2 * extent + 700, 73}, {8, 70}, {2 * extent + 9, 1}};
        xen.own = {{5, 0x55}, {2 * extent + 700, 0x77}};
    }
    ~MachineToPhysicalTable() override {
        EXPECT_EQ(xen.handles, 0);
        EXPECT_EQ(xen.buffers, 0);
        EXPECT_EQ(xen.mappings, 0);
    }
    FakeMachineFrames& xen = FakeMachineFrames::machine();
};

TEST_F(MachineToPhysicalTable, GivesCandidatesOfAllDomains) {
    std::vector<std::uint64_t> const frames{73, 70, 72, 99};
    EXPECT_THAT(MachineToPhysical().candidates(frames),
                UnorderedElementsAre(Candidate(0, 2 * extent + 700), Candidate(1, 5), Candidate(1, 8),
                                     Candidate(2, extent - 1)));
}

TEST_F(MachineToPhysicalTable, MayHaveHoles) {
    xen.holes = {1};
    xen.table[extent + 4] = 70;  // in the hole: nobody sees it
    MachineToPhysical table;
    EXPECT_THAT(table.candidates(std::vector<std::uint64_t>{73}), UnorderedElementsAre(Candidate(0, 2 * extent + 700)));
    EXPECT_EQ(table.frames_at(std::vector<std::uint64_t>{extent + 4, 5}), (std::vector<std::uint64_t>{nobody, 70}));
}

TEST_F(MachineToPhysicalTable, AnswersForOneFrame) {
    std::vector<std::uint64_t> const asked{2 * extent + 700, 5, 1234, 99 * extent, 6};
    EXPECT_EQ(MachineToPhysical().frames_at(asked), (std::vector<std::uint64_t>{73, 70, nobody, nobody, 71}));
    EXPECT_TRUE(MachineToPhysical().frames_at({}).empty());
    EXPECT_TRUE(MachineToPhysical().candidates({}).empty());
}

TEST_F(MachineToPhysicalTable, ReadsOwnMemoryOnly) {
    std::vector<std::uint64_t> asked{5, 6, 2 * extent + 700};
    auto words = MachineToPhysical().first_words(asked);
    EXPECT_EQ(words, (std::vector<std::optional<std::uint64_t>>{0x55, std::nullopt, 0x77}));
    asked.assign(1500, 5);  // more than are mapped at once
    words = MachineToPhysical().first_words(asked);
    EXPECT_EQ(words, std::vector<std::optional<std::uint64_t>>(1500, 0x55));
}

TEST_F(MachineToPhysicalTable, IsNotForEveryDomain) {
    xen.control_domain = false;
    try {
        open_machine_addresses()->candidates(std::vector<std::uint64_t>{70});
        FAIL() << "a driver domain may not see it";
    } catch (std::system_error const& error) {
        EXPECT_EQ(error.code().value(), EPERM);
    }
}

TEST_F(MachineToPhysicalTable, EveryCallMayFail) {
    auto const use = [] {
        MachineToPhysical table;
        std::vector<std::uint64_t> const frames{70, 73};
        table.candidates(frames);
        table.first_words(std::vector<std::uint64_t>{5, 6});
        table.frames_at(std::vector<std::uint64_t>{5, 6});
    };
    use();
    int const calls = xen.calls;
    EXPECT_GE(calls, 9);
    for (int call = 1; call <= calls; ++call) {
        xen.calls = 0;
        xen.fail_at = call;
        EXPECT_THROW(use(), std::system_error) << call;
        EXPECT_EQ(xen.handles + xen.buffers + xen.mappings, 0) << call;
    }
}

}  // namespace
}  // namespace librettos::test
