// SPDX-License-Identifier: BSD-2-Clause
// A VF that ixv drives in the rump kernel: by itself, and as the direct path of a rump kernel's interface.
#include <gtest/gtest.h>
#include <poll.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "guest-frontend/rump/pci/ixv_vf.hpp"
#include "guest-frontend/rump/pci/ixv_vf_module.h"
#include "tests/unit/eventually.hpp"
#include "tests/unit/rump/ixv_double.hpp"
#include "tests/unit/rump/switched_guest.hpp"
#include "tests/unit/rump/vf_module_double.hpp"

namespace {

bool kernel_drives = false;
librettos::guest::IxvVf* driven = nullptr;

}  // namespace

// In the place of the shared object with the PCI bus.
lvif_vf* librettos_ixv_vf_create(char const* pci_address) {
    if (!kernel_drives) {
        return nullptr;
    }
    driven = new librettos::guest::IxvVf(pci_address, librettos::test::IxvDouble::instance().registers());
    librettos::guest::Vf* const vf = driven;
    return reinterpret_cast<lvif_vf*>(vf);
}

void librettos_ixv_vf_destroy(lvif_vf* vf) {
    driven = nullptr;
    delete reinterpret_cast<librettos::guest::Vf*>(vf);
}

namespace librettos::test {
namespace {

using guest::IxvVf;

constexpr guest::VfMac mac{2, 0, 0, 0, 0, 9};
constexpr std::uint16_t mtu = 1500;

Frame numbered(unsigned number, std::size_t size = 200) {
    Frame frame(size, static_cast<std::uint8_t>(number));
    frame[12] = 0x08;
    frame[14] = static_cast<std::uint8_t>(number >> 8);
    return frame;
}

class IxvVfTest : public testing::Test {
  protected:
    IxvVfTest() {
        ixv_.reset();
        vf_.emplace(pci_address, ixv_.registers());
    }
    void TearDown() override {
        vf_.reset();
        EXPECT_FALSE(ixv_.is_up());
        EXPECT_EQ(KernelDouble::instance().reset(), std::vector<std::string>{});
    }
    void start() {
        ASSERT_TRUE(eventually([this] { return vf_->up(mac, 0, mtu) == 1; }));
    }
    int send(Frame const& frame) {
        std::uint8_t* place = nullptr;
        int const result = vf_->reserve(static_cast<std::uint32_t>(frame.size()), place);
        if (result == 0) {
            std::copy(frame.begin(), frame.end(), place);
            vf_->commit(static_cast<std::uint32_t>(frame.size()));
        }
        return result;
    }
    void receive(Frame const& frame, unsigned cuts = 1) {
        receive_by_ixv([this](iovec const* parts, unsigned n) { vf_->received(parts, n); }, frame, cuts);
    }
    std::vector<Frame> received() {
        std::vector<Frame> all;
        for (lvif_frame frame{}; vf_->front(frame); vf_->release()) {
            all.emplace_back(frame.bytes, frame.bytes + frame.length);
        }
        return all;
    }

    IxvDouble& ixv_ = IxvDouble::instance();
    std::optional<IxvVf> vf_;
};

TEST_F(IxvVfTest, StartsOnceThereIsALink) {
    ixv_.set_link(false);
    EXPECT_EQ(vf_->up(mac, 0, mtu), 0);
    EXPECT_FALSE(ixv_.is_up());
    ixv_.set_link(true);
    start();
    EXPECT_TRUE(ixv_.is_up());
    vf_->down();
    EXPECT_FALSE(ixv_.is_up());
    start();
}

TEST_F(IxvVfTest, SaysWhyItCannotBeUsed) {
    testing::internal::CaptureStderr();
    EXPECT_EQ(vf_->up(mac, 0, 9000), LVIF_EMSGSIZE);
    EXPECT_EQ(vf_->up(mac, 7, mtu), LVIF_EOPNOTSUPP);
    ixv_.set_start_error(6);
    int result = 0;
    EXPECT_TRUE(eventually([&] { return (result = vf_->up(mac, 0, mtu)) != 0; }));
    EXPECT_EQ(result, LVIF_EIO);
    std::string const said = testing::internal::GetCapturedStderr();
    EXPECT_NE(said.find("MTU of 1500"), std::string::npos) << said;
    EXPECT_NE(said.find("NetBSD's error 6"), std::string::npos) << said;
    vf_->down();
    ixv_.set_start_error(0);
    start();
}

// Who sends may hold FrameLink's lock, and the only processor.
TEST_F(IxvVfTest, WhoSendsNeverWaitsForTheKernel) {
    start();
    std::vector<Frame> frames;
    {
        InKernel const in_kernel;
        for (unsigned number = 0; number < 100; ++number) {
            frames.push_back(numbered(number));
            ASSERT_EQ(send(frames.back()), 0);
            ASSERT_TRUE(vf_->publish());
        }
        EXPECT_FALSE(vf_->sent_all());
        EXPECT_TRUE(vf_->alive(false));
    }
    EXPECT_TRUE(eventually([this] { return vf_->sent_all(); }));
    EXPECT_EQ(ixv_.take(), frames);
}

TEST_F(IxvVfTest, WithoutRoomFramesWaitInOrder) {
    start();
    ixv_.set_room(10);
    std::vector<Frame> frames;
    int result = 0;
    while (result == 0 && frames.size() < 5000) {
        frames.push_back(numbered(static_cast<unsigned>(frames.size())));
        result = send(frames.back());
        vf_->publish();
    }
    EXPECT_EQ(result, LVIF_EAGAIN);
    frames.pop_back();
    EXPECT_FALSE(vf_->sent_all());
    std::vector<Frame> left;
    EXPECT_TRUE(eventually([&] {
        auto const more = ixv_.take();
        left.insert(left.end(), more.begin(), more.end());
        return left.size() >= frames.size();
    }));
    EXPECT_EQ(left, frames);
    EXPECT_TRUE(eventually([this] { return vf_->sent_all(); }));
    EXPECT_EQ(send(numbered(0)), 0);
    EXPECT_EQ(send(numbered(0, 1515)), LVIF_EMSGSIZE);
}

TEST_F(IxvVfTest, WhatTheDriverWasNotGivenIsTakenBack) {
    start();
    ixv_.set_room(5);
    std::vector<Frame> frames;
    for (unsigned number = 0; number < 300; ++number) {
        frames.push_back(numbered(number));
        ASSERT_EQ(send(frames.back()), 0);
        vf_->publish();
    }
    std::vector<Frame> left;
    EXPECT_TRUE(eventually([&] {
        auto const more = ixv_.take();
        left.insert(left.end(), more.begin(), more.end());
        return left.size() >= 5;
    }));
    ixv_.set_room(0);
    send(frames.emplace_back(numbered(300)));
    EXPECT_TRUE(eventually([&] {  // a batch that is on its way to the driver comes back from it
        vf_->take_back(
            [&](std::uint8_t const* bytes, std::uint32_t length) { left.emplace_back(bytes, bytes + length); });
        auto const more = ixv_.take();
        left.insert(left.begin() + 5, more.begin(), more.end());
        return left.size() >= frames.size();
    }));
    std::sort(left.begin(), left.end());
    std::sort(frames.begin(), frames.end());
    EXPECT_EQ(left, frames) << "each once";
    EXPECT_TRUE(ixv_.take().empty());
}

TEST_F(IxvVfTest, WhatItReceivesWaitsAndWakes) {
    start();
    auto const is_readable = [this] {
        pollfd event{vf_->event_fd(), POLLIN, 0};
        return poll(&event, 1, 0) == 1;
    };
    receive(numbered(1));
    EXPECT_FALSE(is_readable());
    EXPECT_FALSE(vf_->arm()) << "there is one already";
    vf_->disarm();
    EXPECT_EQ(received(), std::vector<Frame>{numbered(1)});

    EXPECT_TRUE(vf_->arm());
    receive(numbered(2, 300), 3);
    EXPECT_TRUE(is_readable());
    vf_->disarm();
    EXPECT_FALSE(is_readable());
    Frame tagged = numbered(3);
    Frame const tag{0x81, 0x00, 0x00, 0x2A};
    tagged.insert(tagged.begin() + 12, tag.begin(), tag.end());
    receive(tagged);
    EXPECT_EQ(received(), (std::vector<Frame>{numbered(2, 300), numbered(3)}));
}

TEST_F(IxvVfTest, FramesThatNobodyTookAreSaidToBeLost) {
    start();
    receive(numbered(1));
    testing::internal::CaptureStderr();
    vf_->down();
    EXPECT_NE(testing::internal::GetCapturedStderr().find("received 1 frames that are lost"), std::string::npos);
    receive(numbered(2));
    start();
    EXPECT_TRUE(received().empty()) << "nor one that came after the end";
}

TEST_F(IxvVfTest, WithNothingToSendItSendsToItself) {
    start();
    std::vector<Frame> sent;
    EXPECT_TRUE(eventually([&] {
        EXPECT_TRUE(vf_->alive(true));
        sent = ixv_.take();
        return !sent.empty();
    }));
    EXPECT_TRUE(std::equal(mac.begin(), mac.end(), sent[0].begin()));
    EXPECT_TRUE(std::equal(mac.begin(), mac.end(), sent[0].begin() + 6));
}

TEST_F(IxvVfTest, AVfWhoseQueueStandsStillIsNotAlive) {
    start();
    ixv_.hang();
    EXPECT_TRUE(eventually([this] { return !vf_->alive(true); }));
}

TEST_F(IxvVfTest, ALinkThatGoesOrAVfThatIsUnpluggedIsNoticed) {
    start();
    EXPECT_FALSE(vf_->gone());
    ixv_.set_link(false);
    EXPECT_TRUE(eventually([this] { return vf_->gone(); }));
    vf_->down();
    ixv_.set_link(true);
    start();
    ixv_.unplug();
    EXPECT_TRUE(eventually([this] { return vf_->gone(); }));
}

TEST_F(IxvVfTest, GroupsAreLookedAtAgainAndAgain) {
    start();
    EXPECT_TRUE(eventually([this] { return ixv_.looks_at_groups() >= 2; }));
}

// ---- with the interface

class RumpGuestWithIxv : public SwitchedRumpGuest {
  protected:
    void SetUp() override {
        ixv_.reset();
        kernel_drives = true;
        start_with_vf();
        ASSERT_NE(driven, nullptr);
        EXPECT_EQ(loaded_vf(), nullptr) << "DPDK is not asked";
    }
    void TearDown() override {
        RumpGuest::TearDown();
        kernel_drives = false;
        EXPECT_FALSE(ixv_.is_up());
    }
    bool vf_is_up() override { return ixv_.is_up(); }
    std::vector<Frame> sent_by_vf() override {
        auto frames = ixv_.take();
        std::erase_if(frames, [](Frame const& frame) { return frame.size() != 200; });  // the one to itself
        return frames;
    }
    static void receive(Frame const& frame) {
        receive_by_ixv([](iovec const* parts, unsigned n) { driven->received(parts, n); }, frame);
    }

    IxvDouble& ixv_ = IxvDouble::instance();
};

TEST_F(RumpGuestWithIxv, FramesGoByTheKernelsDriver) {
    send(RumpGuest::numbered(0));
    ASSERT_TRUE(peer_.wait_for_frames(1));
    go_direct();
    std::vector<Frame> both;
    for (unsigned number = 1; number <= 64; ++number) {
        both.push_back(RumpGuest::numbered(number));
        send(both.back());
        receive(both.back());
    }
    KernelDouble::instance().wait_for_frames(both.size());
    EXPECT_EQ(KernelDouble::instance().frames(), both);
    EXPECT_TRUE(leaves_by_vf(both));
    go_back();
    send(RumpGuest::numbered(65));
    ASSERT_TRUE(peer_.wait_for_frames(2));
    EXPECT_EQ(peer_.frames().size(), 2u);
}

TEST_F(RumpGuestWithIxv, NothingIsLostInASwitchUnderLoad) {
    switch_under_load();
}

TEST_F(RumpGuestWithIxv, AVfThatStandsStillIsLeft) {
    go_direct();
    ixv_.hang();
    ASSERT_TRUE(eventually([&] {
        send(RumpGuest::numbered(1));
        return !peer_.frames().empty();
    }));
    EXPECT_TRUE(eventually([&] { return !ixv_.is_up(); }));
}

}  // namespace
}  // namespace librettos::test
