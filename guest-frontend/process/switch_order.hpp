// SPDX-License-Identifier: BSD-2-Clause
// The guest's part in a switch: what liblvif wants done with a VF (librettos/vf_switch.h), without a frame lost,
// doubled or out of order. The same for a guest whose stack is the kernel's and for one that has it in its process.
//
// Theory of operation
//
//     open()   the VF becomes ours and receives; what comes waits until the server has marked the rings
//              (lvif_rx_marked) and the stack has all that they hold: who moves frames sees to that
//     begin()  what comes by the VF waits no longer than until the stack has all that the rings hold, and frames to be
//              sent until the server has taken all from them; then it goes on by the VF, each way by itself
//     end()    frames to be sent wait until what was sent before has left the VF; then it goes on by the rings. From
//              now on what the VF has comes before what the rings have
//     close()  what the VF still has is delivered, and it is given back
//
// A VF that fails gives back what it has not sent, and that goes by the rings: in end(), before what waits, or in
// close() if nobody has noticed by then. Nothing waits for long for another: after 200 ms, or when the server dies,
// order is given up, not frames.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace librettos::guest {

using VfMac = std::array<std::uint8_t, 6>;

// Where frames to be sent go; `nothing`: they wait.
enum class SendBy { rings, nothing, vf };

// A VF and its driver.
class SwitchedVf {
  public:
    virtual ~SwitchedVf() = default;
    // 1: it is the one with this address, receives, and has a link; 0: not yet; or a negative errno, and has said why.
    virtual int up(VfMac const& mac, std::uint16_t vlan, std::uint16_t mtu_bytes) = 0;
    // It, or the link that it had, has gone. Asked from the first up() on.
    virtual bool gone() = 0;
    // Undoes up(), also half of it. Never throws.
    virtual void down() = 0;
    virtual std::string name() const = 0;
};

// What moves frames between a stack, the rings and the VF, in threads of its own. Each function holds when it returns.
class SwitchedFrames {
  public:
    virtual ~SwitchedFrames() = default;
    // What the VF receives is taken care of, and waits until the rings are marked and empty. The VF is up, at least
    // half.
    virtual void use_vf() = 0;
    // What waits, and what comes from now on, is the stack's. May be repeated.
    virtual void let_in() = 0;
    // The same as soon as the stack has been given all that the rings hold now.
    virtual void let_in_after_rings() = 0;
    virtual bool lets_in() = 0;
    // Until nothing has come by the VF for `quiet`, or `longest` has passed.
    virtual void take_last(std::chrono::milliseconds quiet, std::chrono::milliseconds longest) = 0;
    // The VF is neither read nor written any more.
    virtual void leave_vf() = 0;

    virtual void send_by(SendBy way) = 0;
    // What was sent through the VF has left it.
    virtual bool vf_sent_all() = 0;
    // What was sent through the VF and has not left it is sent by the other way instead, before what waits. Returns how
    // many frames; 0 too where that cannot be known. Nothing is sent by the VF any more.
    virtual std::size_t take_back() = 0;
    // False: what moves frames has found the VF to be gone, or no longer to send.
    virtual bool vf_works() = 0;
    // The server has taken from the rings all that was sent.
    virtual bool server_took_all() = 0;
    virtual bool server_alive() = 0;
};

// Control thread.
class SwitchOrder {
  public:
    using Clock = std::chrono::steady_clock;
    enum class Kind { news, trouble };
    using Say = std::function<void(Kind, std::string const&)>;

    static constexpr auto patience = std::chrono::milliseconds(200);
    static constexpr auto quiet = std::chrono::milliseconds(20);  // then nothing more is on its way

    SwitchOrder(SwitchedVf& vf, SwitchedFrames& frames, Say say);
    ~SwitchOrder();
    SwitchOrder(SwitchOrder const&) = delete;
    SwitchOrder& operator=(SwitchOrder const&) = delete;

    // As of lvif_vf_operations.
    int open(VfMac const& mac, std::uint16_t vlan, std::uint16_t mtu_bytes);
    int begin();
    void end();
    void close();

    // To be called often. True: the VF or its link has gone; lvif_vf_lost() is due.
    bool look_after();
    bool is_open() const { return open_; }
    // Received frames may wait for begin(), and it is not known that some do: held_frames_came() is to say so.
    bool may_hold_frames() const { return using_ && !let_in_ && !let_in_at_; }
    void held_frames_came() { let_in_at_ = Clock::now() + patience; }
    // When look_after() is due because of them; max(): never.
    Clock::time_point wake_at() const { return let_in_at_.value_or(Clock::time_point::max()); }

  private:
    void let_in();
    void wait_until_sent();
    void take_back();
    std::string waited() const;

    SwitchedVf& vf_;
    SwitchedFrames& frames_;
    Say const say_;
    bool open_ = false;    // up() was called
    bool using_ = false;   // it returned 1
    bool let_in_ = false;  // what it received
    bool lost_ = false;
    SendBy sending_ = SendBy::rings;
    Clock::time_point change_began_{};
    std::optional<Clock::time_point> let_in_at_;
};

}  // namespace librettos::guest
