// SPDX-License-Identifier: BSD-2-Clause
// A rump kernel's interface that the server switches to a VF and back, whoever drives that.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "tests/unit/eventually.hpp"
#include "tests/unit/rump/rump_guest.hpp"

namespace librettos::test {

inline constexpr char pci_address[] = "0000:01:10.0";

class SwitchedRumpGuest : public RumpGuest {
  protected:
    virtual bool vf_is_up() = 0;
    virtual std::vector<Frame> sent_by_vf() = 0;  // of the guest's, since the last call

    // With the other guest beside it.
    void start_with_vf() {
        plug_in();
        start_second();
        ASSERT_EQ(create(std::string(",vf=") + pci_address), 0);
    }
    // Guest 0 of the cable is ours.
    int say(lvif_message_type message) { return cable_->say(0, message); }
    void go_direct() {
        ASSERT_EQ(say(LVIF_MSG_SWITCH_PREPARE), 0);
        ASSERT_EQ(say(LVIF_MSG_SWITCH_COMMIT), 0);
        ASSERT_TRUE(vf_is_up());
    }
    void go_back() {
        EXPECT_EQ(say(LVIF_MSG_SWITCH_BACK), 0);
        EXPECT_EQ(say(LVIF_MSG_SWITCH_RELEASE), 0);
        EXPECT_FALSE(vf_is_up());
    }
    void send(Frame const& frame, std::size_t cuts = 1) {
        InKernel const in_kernel;
        interface_.send(frame, cuts);
    }
    bool leaves_by_vf(std::vector<Frame> const& expected) {
        std::vector<Frame> left;
        return eventually([&] {
                   auto const more = sent_by_vf();
                   left.insert(left.end(), more.begin(), more.end());
                   return left.size() >= expected.size();
               }) &&
               left == expected;
    }

    // The kernel sends all the while; each frame leaves once, in turn, by whichever way.
    void switch_under_load() {
        constexpr unsigned most_under_way = 200;  // so that nothing can be full
        std::atomic<bool> stop = false;
        std::atomic<std::size_t> arrived_by_vf = 0;
        std::atomic<std::size_t> sent = 0;
        std::vector<Frame> by_vf;
        std::thread nic([&] {
            while (!stop) {
                auto const more = sent_by_vf();
                by_vf.insert(by_vf.end(), more.begin(), more.end());
                arrived_by_vf = by_vf.size();
                std::this_thread::sleep_for(std::chrono::microseconds(500));
            }
        });
        auto const arrived = [&] { return arrived_by_vf + peer_.frames().size(); };
        std::thread sender([&] {
            for (unsigned number = 0; !stop; ++number) {
                while (sent - arrived() >= most_under_way && !stop) {
                    std::this_thread::yield();
                }
                send(numbered(number));
                ++sent;
                std::this_thread::sleep_for(std::chrono::microseconds(200));
            }
        });
        for (int i = 0; i < 5; ++i) {
            go_direct();
            std::size_t const before = arrived_by_vf;
            EXPECT_TRUE(eventually([&] { return arrived_by_vf > before + 20; }));
            go_back();
        }
        EXPECT_TRUE(eventually([&] { return arrived() > 0; }));
        stop = true;
        sender.join();
        nic.join();
        ASSERT_TRUE(eventually([&] { return arrived() >= sent; }));
        std::vector<Frame> all = peer_.frames();
        auto const comes_before = [](Frame const& one, Frame const& other) {  // by the number that numbered() put in
            return std::tie(one[12], one[13]) < std::tie(other[12], other[13]);
        };
        for (auto const* way : {&all, &by_vf}) {
            EXPECT_TRUE(std::is_sorted(way->begin(), way->end(), comes_before));
        }
        all.insert(all.end(), by_vf.begin(), by_vf.end());
        std::sort(all.begin(), all.end(), comes_before);
        ASSERT_EQ(all.size(), sent);
        for (unsigned number = 0; number < all.size(); ++number) {
            ASSERT_EQ(all[number], numbered(number));
        }
    }
};

}  // namespace librettos::test
