// SPDX-License-Identifier: BSD-2-Clause
// The engine's end of the socket to the holder.
#include "daemon/engine/control/holder_link.hpp"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "daemon/engine/control/strict_text.hpp"

namespace librettos::control {

HolderLink::HolderLink(int fd) : fd_(fd) {
    if (fd_ >= 0 && fcntl(fd_, F_SETFL, fcntl(fd_, F_GETFL) | O_NONBLOCK) < 0)
        throw std::system_error(errno, std::generic_category(), "making the holder's socket non-blocking");
}

void HolderLink::send_ready() {
    HolderMessage message{};
    message.type = HolderMessageType::ready;
    unsent_.push_back(message);
    flush();
}

void HolderLink::add_mac(MacAddress const& mac) {
    ask(HolderMessageType::add_mac, mac);
}

void HolderLink::remove_mac(MacAddress const& mac) {
    ask(HolderMessageType::remove_mac, mac);
}

std::uint32_t HolderLink::operate_vf(DomId guest, VfOperation operation, std::uint16_t vf, MacAddress const& mac,
                                     std::uint16_t vlan) {
    HolderMessage message{};
    message.type = HolderMessageType::operate_vf;
    message.id = next_id_++;
    message.guest = guest.value;
    message.operation = operation;
    message.vf = vf;
    message.mac = mac.bytes;
    message.vlan = vlan;
    if (fd_ >= 0 && !ended_) {
        unsent_.push_back(message);
        flush();
    }
    return message.id;
}

void HolderLink::ask(HolderMessageType type, MacAddress const& mac) {
    if (fd_ < 0 || ended_)
        return;
    HolderMessage message{};
    message.type = type;
    message.id = next_id_++;
    message.mac = mac.bytes;
    unsent_.push_back(message);
    asked_.push_back({message.id, mac, type == HolderMessageType::add_mac});
    flush();
}

bool HolderLink::flush() {
    while (!unsent_.empty() && fd_ >= 0) {
        auto const sent = send(fd_, &unsent_.front(), sizeof(HolderMessage), MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && errno == EAGAIN)
            return true;
        if (sent < 0) {
            ended_ = true;
            unsent_.clear();
            return false;
        }
        unsent_.pop_front();
    }
    unsent_.clear();
    return false;
}

std::vector<HolderMessage> HolderLink::take_messages() {
    std::vector<HolderMessage> messages;
    while (!ended_ && messages.size() < 64) {
        HolderMessage message{};
        auto const size = recv(fd_, &message, sizeof message, MSG_TRUNC);
        if (size < 0 && errno == EINTR)
            continue;
        if (size < 0 && errno == EAGAIN)
            break;
        if (size <= 0) {
            ended_ = true;
            break;
        }
        bool const known = message.type == HolderMessageType::stop || message.type == HolderMessageType::link ||
                           message.type == HolderMessageType::vf || message.type == HolderMessageType::done;
        if (size != sizeof message || !known)
            throw std::system_error(EPROTO, std::generic_category(), "a message of the holder that is none");
        if (message.type == HolderMessageType::done && message.operation == VfOperation::none)
            finish(message);
        else
            messages.push_back(message);
    }
    return messages;
}

void HolderLink::finish(HolderMessage const& message) {
    auto const asked =
        std::find_if(asked_.begin(), asked_.end(), [&](Asked const& each) { return each.id == message.id; });
    if (asked == asked_.end())
        return;
    bool const harmless = message.status == (asked->add ? -EEXIST : -ENOENT);
    if (message.status < 0 && !harmless)
        spdlog::warn("the port does not {} frames for {}: {}; with port.promiscuous = true it need not",
                     asked->add ? "receive" : "stop receiving", to_text(asked->mac), std::strerror(-message.status));
    asked_.erase(asked);
}

}  // namespace librettos::control
