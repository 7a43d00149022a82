// SPDX-License-Identifier: BSD-2-Clause
// The server as port authority, asked over the control ring.
//
// Calls come from the thread that answers binds and wait; the ring belongs to the control thread, which carries them
// out in pump(). A server that is away is waited for, but not for ever: a program's bind() must come back. What is
// granted after that is given back.
#pragma once

#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>

#include "guest-frontend/linux/descriptor.hpp"
#include "guest-frontend/linux/lvif.hpp"
#include "guest-frontend/linux/port_authority.hpp"

namespace librettos::guest {

class ControlRingPorts final : public PortAuthority {
  public:
    explicit ControlRingPorts(std::chrono::milliseconds longest_wait = std::chrono::seconds(15));

    // One thread at a time. -ETIMEDOUT: no answer; -ECONNRESET: closed.
    int bind(Protocol protocol, std::uint16_t port) override;
    int bind_any(Protocol protocol, std::uint16_t& port) override;
    int release(Protocol protocol, std::uint16_t port) override;
    int lease(std::uint16_t count, std::uint16_t& first) override;
    int release_all() override;

    // Control thread. Sends what is to be sent, takes the answers that are there.
    void pump(lvif_device* device);
    // Readable when there is something to send.
    int fd() const { return wake_.get(); }
    void clear();
    // From now on calls fail at once, also the one that waits.
    void close();

  private:
    struct Request {
        lvif_message_type operation = LVIF_MSG_PORT_BIND;
        std::uint8_t protocol = 0;
        std::uint16_t port = 0;
        std::uint16_t count = 0;
    };

    int call(Request const& request, std::uint16_t* port);
    bool send(lvif_device* device, Request const& request, std::uint32_t& ticket);
    void take(lvif_device* device);
    void give_back(lvif_device* device);

    std::chrono::milliseconds const longest_wait_;
    Descriptor wake_;
    std::mutex mutex_;
    std::condition_variable answered_;
    bool closed_ = false;
    bool waiting_ = false;      // a call
    Request request_;           // its
    std::uint32_t ticket_ = 0;  // its, once it is sent
    bool done_ = false;
    lvif_port_answer answer_{};
    std::map<std::uint32_t, Request> late_;      // sent by calls that did not wait for the answer
    std::map<std::uint32_t, Request> unwanted_;  // granted to them: to be given back
};

}  // namespace librettos::guest
