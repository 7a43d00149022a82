// SPDX-License-Identifier: BSD-2-Clause
// Machine addresses are handed out when each has been proved, and only then.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <map>
#include <system_error>

#include "drivers/nic/dma_memory.hpp"

namespace librettos {
namespace {

using ::testing::HasSubstr;

constexpr std::uint64_t foreign = 0x10'0000;  // machine frames from there on are other domains'

// A machine with this process's memory in it: frame f of ours is at machine(f). Reads its pages at their first
// addresses.
class FakeMachine final : public MachineAddresses {
  public:
    explicit FakeMachine(std::span<std::byte> memory, std::function<std::uint64_t(std::size_t)> machine)
        : memory_(memory), machine_(std::move(machine)) {}

    std::vector<MachineCandidate> candidates(std::span<std::uint64_t const> frames) override {
        fault();
        std::vector<MachineCandidate> all;
        for (std::size_t i = 0; i < frames.size(); ++i) {
            all.push_back({i, foreign + i});  // another domain has a frame of that number, too
            if (i == hidden)
                continue;
            all.push_back({i, machine_(i)});
            page_at[machine_(i)] = i;
            table[machine_(i)] = frames[i];
        }
        return all;
    }
    std::vector<std::optional<std::uint64_t>> first_words(std::span<std::uint64_t const> machine_frames) override {
        fault();
        std::vector<std::optional<std::uint64_t>> words;
        for (auto const frame : machine_frames) {
            auto const at = page_at.find(frame);
            std::uint64_t word = 0;
            if (at != page_at.end())
                std::memcpy(&word, memory_.data() + at->second * page_bytes, sizeof word);
            words.push_back(at == page_at.end() ? std::nullopt : std::optional(word));
        }
        if (++reads_ == wrong_read)
            words.at(wrong_word) = 1;
        return words;
    }
    std::vector<std::uint64_t> frames_at(std::span<std::uint64_t const> machine_frames) override {
        fault();
        std::vector<std::uint64_t> frames;
        for (auto const frame : machine_frames)
            frames.push_back(table.at(frame));
        return frames;
    }

    std::map<std::uint64_t, std::size_t> page_at;
    std::map<std::uint64_t, std::uint64_t> table;
    std::size_t hidden = ~std::size_t{0};  // the table does not know this page
    int wrong_read = 0;                    // in that call of first_words ..
    std::size_t wrong_word = 0;            // .. this answer is wrong
    int fail_at = 0;                       // that call fails
    int calls = 0;

  private:
    void fault() {
        if (++calls == fail_at)
            throw std::system_error(EPERM, std::generic_category(), "call " + std::to_string(calls));
    }
    std::span<std::byte> memory_;
    std::function<std::uint64_t(std::size_t)> machine_;
    int reads_ = 0;
};

class Proof : public testing::Test {
  protected:
    static constexpr std::size_t pages = 16;
    std::vector<std::byte> memory = std::vector<std::byte>(pages * page_bytes);
    std::vector<std::uint64_t> frames = [] {
        std::vector<std::uint64_t> all;
        for (std::size_t i = 0; i < pages; ++i)
            all.push_back(500 + i);
        return all;
    }();
    FakeMachine machine{memory, [](std::size_t page) { return 900 - page; }};

    std::string refusal() {
        try {
            prove_machine_frames(memory, frames, machine);
            return "";
        } catch (DmaRefused const& refused) {
            EXPECT_NE(refused.mend, "");
            return refused.what();
        }
    }
};

TEST_F(Proof, FindsEachPageAmongTheFramesOfOthers) {
    auto const found = prove_machine_frames(memory, frames, machine);
    ASSERT_EQ(found.size(), pages);
    for (std::size_t page = 0; page < pages; ++page)
        EXPECT_EQ(found[page], 900 - page);
    EXPECT_TRUE(std::all_of(memory.begin(), memory.end(), [](std::byte byte) { return byte == std::byte{0}; }));
}

TEST_F(Proof, APageThatTheTableDoesNotHave) {
    machine.hidden = 3;
    EXPECT_THAT(refusal(), HasSubstr("1 of 16 pages"));
}

TEST_F(Proof, APageWhoseMachineFrameHoldsSomethingElse) {
    machine.wrong_read = 1;
    machine.wrong_word = 1;  // the first page's own frame: after the other domain's
    EXPECT_THAT(refusal(), HasSubstr("1 of 16 pages"));
}

TEST_F(Proof, APageThatMovesDuringTheProof) {
    machine.wrong_read = 2;
    machine.wrong_word = 7;
    EXPECT_THAT(refusal(), HasSubstr("page 7"));
}

TEST_F(Proof, AnotherPageWithTheSameContent) {
    machine.page_at[foreign] = 0;  // "another domain's" frame shows our page 0
    EXPECT_THAT(refusal(), HasSubstr("two places"));
}

TEST_F(Proof, EveryCallMayFail) {
    prove_machine_frames(memory, frames, machine);
    int const calls = machine.calls;
    EXPECT_GE(calls, 4);
    for (int call = 1; call <= calls; ++call) {
        machine.calls = 0;
        machine.fail_at = call;
        EXPECT_THROW(prove_machine_frames(memory, frames, machine), std::system_error) << call;
    }
}

// With real pages of this machine, as far as its kernel tells where they are.
class RealPages : public testing::Test {
  protected:
    static constexpr std::size_t pages = 1024;
    void SetUp() override {
        try {
            locked.emplace(pages * page_bytes);
            frames_of(locked->bytes().data(), 1);
        } catch (DmaRefused const& refused) {
            GTEST_SKIP() << refused.what();
        }
    }
    // In reverse, with a gap every `run` pages.
    std::unique_ptr<FakeMachine> machine(std::size_t run) {
        auto made = std::make_unique<FakeMachine>(locked->bytes(), [run](std::size_t page) {
            auto const place = pages - 1 - page;
            return 4096 + place + place / run;
        });
        fake = made.get();
        return made;
    }
    // Takes `locked`, so after machine() has looked at it.
    DmaMemory memory_of(std::unique_ptr<FakeMachine> looked_at) {
        return {std::move(*locked), {64, 16}, std::move(looked_at)};
    }
    std::optional<LockedMemory> locked;
    FakeMachine* fake = nullptr;
};

TEST_F(RealPages, AreLaidOutAsTheMachineHasThem) {
    auto const bytes = locked->bytes();
    DmaMemory memory = memory_of(machine(256));
    EXPECT_EQ(memory.fault_anywhere(), "");
    auto const& regions = memory.regions();
    ASSERT_EQ(regions.size(), 2U);
    EXPECT_TRUE(regions[0].contiguous);
    EXPECT_EQ(regions[0].machine_frames.size(), 64U);
    EXPECT_FALSE(regions[1].contiguous);
    EXPECT_EQ(regions[0].machine_frames.size() + regions[1].machine_frames.size(), pages);
    for (auto const& region : regions) {
        EXPECT_EQ(reinterpret_cast<std::uintptr_t>(region.address) % LockedMemory::congruence,
                  region.machine_frames[0] * page_bytes % LockedMemory::congruence);
        EXPECT_EQ(frames_of(region.address, region.frames.size()), region.frames);
    }
    EXPECT_FALSE(std::equal(regions[0].frames.begin(), regions[0].frames.end(), regions[0].frames.rbegin()));
    EXPECT_TRUE(msync(bytes.data(), page_bytes, MS_ASYNC) != 0) << "the first addresses are taken away";
}

TEST_F(RealPages, AreSharedWithChildren) {
    DmaMemory memory = memory_of(machine(256));
    auto* const byte = reinterpret_cast<unsigned char volatile*>(memory.regions()[1].address);
    pid_t const child = fork();
    if (child == 0) {
        *byte = 0x5a;
        _exit(0);
    }
    waitpid(child, nullptr, 0);
    EXPECT_EQ(*byte, 0x5a);
}

TEST_F(RealPages, TooScatteredForRings) {
    try {
        DmaMemory const memory = memory_of(machine(8));
        FAIL() << "no run has more than 8 pages";
    } catch (DmaRefused const& refused) {
        EXPECT_THAT(refused.what(), HasSubstr("the longest run here has 8"));
        EXPECT_THAT(refused.mend, HasSubstr("dom0_mem"));
    }
}

TEST_F(RealPages, AChangeOfTheTableIsSeenWithinOneRound) {
    DmaMemory memory = memory_of(machine(256));
    std::size_t const at_once = 100;
    for (std::size_t looked = 0; looked < 3 * pages; looked += at_once)
        EXPECT_EQ(memory.fault_in_next(at_once), "");
    auto const victim = memory.regions()[1].machine_frames[700];
    fake->table.at(victim) += 1;
    EXPECT_THAT(memory.fault_anywhere(), HasSubstr("machine-to-physical table"));
    std::string fault;
    for (std::size_t looks = 0; looks < pages / at_once + 4 && fault.empty(); ++looks)
        fault = memory.fault_in_next(at_once);
    EXPECT_THAT(fault, HasSubstr("machine-to-physical table"));
}

TEST_F(RealPages, APageThatIsReplacedIsSeen) {
    DmaMemory const memory = memory_of(machine(256));
    auto* const page = memory.regions()[1].address + 5 * page_bytes;
    ASSERT_NE(
        mmap(page, page_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED | MAP_POPULATE, -1, 0),
        MAP_FAILED);
    EXPECT_THAT(memory.fault_anywhere(), HasSubstr("another frame"));
}

// Before any of it is allocated: the kernel would kill other processes to make room.
TEST_F(RealPages, WhatCannotBeHadIsRefused) {
    EXPECT_THROW(LockedMemory(std::size_t{1} << 50), DmaRefused);
}

}  // namespace
}  // namespace librettos
