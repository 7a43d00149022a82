// SPDX-License-Identifier: BSD-2-Clause
// A scene with VFs.
#include "tests/unit/control/vf_scene.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

namespace librettos::test {

FakeHolder::FakeHolder() {
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds_) != 0)
        throw std::system_error(errno, std::generic_category(), "socketpair");
}

FakeHolder::~FakeHolder() {
    close(fds_[0]);
    close(fds_[1]);
}

// Each engine has a socket of its own; requests of the one before are carried out all the same.
void FakeHolder::engine_starts() {
    work();
    close(fds_[0]);
    close(fds_[1]);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds_) != 0)
        throw std::system_error(errno, std::generic_category(), "socketpair");
    for (auto const& request : std::exchange(waiting_, {}))
        do_it(request);
    for (auto const& [vf, state] : vfs_)
        tell(vf);
}

void FakeHolder::set_vf(std::uint16_t vf, bool present, bool link_up) {
    auto& state = vfs_[vf];
    state.present = present;
    state.link_up = link_up;
    tell(vf);
}

void FakeHolder::count(std::uint16_t vf, VfTraffic const& traffic) {
    vfs_[vf].traffic = traffic;
    tell(vf);
}

void FakeHolder::tell(std::uint16_t vf) {
    HolderMessage message{.type = HolderMessageType::vf};
    message.vf = vf;
    message.present = vfs_[vf].present;
    message.up = vfs_[vf].link_up;
    message.counted = counts ? 1 : 0;
    message.traffic = vfs_[vf].traffic;
    (void)send(fds_[1], &message, sizeof message, MSG_NOSIGNAL);
}

bool FakeHolder::work() {
    HolderMessage request;
    while (recv(fds_[1], &request, sizeof request, MSG_DONTWAIT) == sizeof request) {
        if (request.type != HolderMessageType::operate_vf)
            continue;
        asked.push_back(request.operation);
        waiting_.push_back(request);
    }
    bool worked = false;
    while (!waiting_.empty() && !held.contains(waiting_.front().operation)) {
        auto request_now = waiting_.front();
        waiting_.pop_front();
        auto const fault = fails.find(request_now.operation);
        if (fault == fails.end())
            do_it(request_now);
        request_now.type = HolderMessageType::done;
        request_now.status = fault == fails.end() ? 0 : fault->second;
        (void)send(fds_[1], &request_now, sizeof request_now, MSG_NOSIGNAL);
        worked = true;
    }
    return worked;
}

void FakeHolder::do_it(HolderMessage const& request) {
    MacAddress const mac{request.mac};
    switch (request.operation) {
        case VfOperation::give:
            nic.given[request.vf] = mac;
            nic.vlan[request.vf] = request.vlan;
            break;
        case VfOperation::steer_to_vf:
            nic.steered[number_of(mac)] = request.vf;
            nic.steered_by = request.id;
            break;
        case VfOperation::steer_to_port:
            nic.steered.erase(number_of(mac));
            nic.steered_by = request.id;
            break;
        default:
            nic.given.erase(request.vf);
            vfs_[request.vf].link_up = false;
            tell(request.vf);
    }
}

std::uint64_t number_of(MacAddress const& mac) {
    std::uint64_t number = 0;
    for (auto const byte : mac.bytes)
        number = number << 8 | byte;
    return number;
}

void VfGuest::hello(std::uint32_t flags) {
    auto message = request_of(LVIF_MSG_HELLO, 1);
    message.u.hello.version = LVIF_CONTROL_VERSION;
    message.u.hello.flags = flags;
    send(message);
}

bool VfGuest::work(FakeHolder& holder) {
    bool worked = false;
    while (auto const message = receive()) {
        if (message->type < LVIF_MSG_SWITCH_PREPARE || message->type > LVIF_MSG_SWITCH_RELEASE)
            continue;
        worked = true;
        told.push_back(message->type);
        if (silent.contains(message->type))
            continue;
        auto reply = request_of(LVIF_MSG_REPLY, message->id);
        reply.flags = 0;
        reply.u.vf.serial = message->u.vf.serial;
        if (auto const refusal = refuses.find(message->type); refusal != refuses.end())
            reply.status = refusal->second;
        else if (message->type == LVIF_MSG_SWITCH_PREPARE) {
            std::copy_n(message->u.vf.mac, mac.bytes.size(), mac.bytes.begin());
            vlan = message->u.vf.vlan;
            serial = message->u.vf.serial;
            up = true;
            for (auto const& [vf, owner] : holder.nic.given) {
                if (owner == mac)
                    holder.set_vf(vf, true, true);
            }
        } else if (message->type == LVIF_MSG_SWITCH_COMMIT) {
            direct = true;
        } else {
            direct = false;
            up = up && message->type == LVIF_MSG_SWITCH_BACK;
        }
        send(reply);
    }
    return worked;
}

VfScene::VfScene(std::vector<std::string> vfs) {
    config.direct.steering = "bridge";
    config.direct.bridge = "br0";
    config.direct.server_port = "port0";
    config.direct.vfs = std::move(vfs);
    for (std::uint16_t vf = 0; vf < config.direct.vfs.size(); ++vf)
        holder.set_vf(vf, true, false);
}

void VfScene::start_server() {
    holder.engine_starts();
    holder_fd = holder.engine_fd();
    start();
    settle_all();
}

void VfScene::connect_own(VfGuest& guest) {
    guests.push_back(&guest);
    connect(guest, "dedicated");
    guest.hello(LVIF_HELLO_CAN_SWITCH);
    settle_all();
}

void VfScene::settle_all() {
    for (int n = 0; n < 1000; ++n) {
        settle();
        bool worked = holder.work();
        for (auto const& message : server->holder.take_messages()) {
            worked = true;
            if (message.type == HolderMessageType::vf)
                server->guests->set_vf(message, now);
            else if (message.type == HolderMessageType::done)
                server->guests->vf_done(message, now);
        }
        for (auto* const guest : guests) {
            if (guest->server_state() == LVIF_STATE_CONNECTED)
                worked = guest->work(holder) || worked;
        }
        if (!worked)
            return;
    }
    FAIL() << "a switch goes on for ever";
}

void VfScene::to_direct(VfGuest const& guest, std::uint16_t vf) {
    server->guests->switch_guest(found(guest), vf, timeout, now);
    settle_all();
}

void VfScene::to_server(VfGuest const& guest) {
    server->guests->switch_guest(found(guest), std::nullopt, timeout, now);
    settle_all();
}

void VfScene::expect_direct(VfGuest const& guest, std::uint16_t vf) {
    auto const& it = found(guest);
    EXPECT_EQ(it.vf_switch().step(), VfSwitch::Step::direct) << to_text(it.vf_switch().step());
    EXPECT_TRUE(guest.up && guest.direct);
    EXPECT_EQ(guest.mac, it.offer().mac);
    EXPECT_TRUE(holder.nic.given.contains(vf) && holder.nic.given.at(vf) == it.offer().mac);
    EXPECT_TRUE(holder.nic.steered.contains(number_of(it.offer().mac)));
    EXPECT_TRUE(plane().direct[it.slot().value()]);
    EXPECT_EQ(server->guests->vfs().find(vf)->owner, guest.domain);
    EXPECT_TRUE(world.has(guest.backend() + "/switch"));
}

void VfScene::expect_at_server(VfGuest const& guest) {
    auto const& it = found(guest);
    EXPECT_EQ(it.vf_switch().step(), VfSwitch::Step::rings) << to_text(it.vf_switch().step());
    EXPECT_FALSE(guest.up || guest.direct);
    EXPECT_FALSE(holder.nic.steered.contains(number_of(it.offer().mac)));
    for (auto const& [vf, mac] : holder.nic.given)
        EXPECT_NE(mac, it.offer().mac) << vf;
    EXPECT_FALSE(it.slot() && plane().direct[*it.slot()]);
    for (auto const& vf : server->guests->vfs().all())
        EXPECT_NE(vf.owner, guest.domain);
    EXPECT_FALSE(world.has(guest.backend() + "/switch"));
}

}  // namespace librettos::test
