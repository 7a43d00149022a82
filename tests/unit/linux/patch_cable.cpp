// SPDX-License-Identifier: BSD-2-Clause
#include "tests/unit/linux/patch_cable.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <stdexcept>
#include <utility>
#include <vector>

namespace librettos::guest {

namespace {

struct Ring {
    lvif_ring_header* header = nullptr;
    std::uint8_t* data = nullptr;
    std::uint64_t position = 0;

    std::uint8_t* at(std::uint64_t place) const { return data + (place & (header->capacity - 1)); }
};

}  // namespace

struct PatchCable::Plug {
    std::uint16_t domain = 0;
    std::string frontend;
    std::string backend;
    int state = 0;  // ours, as written
    Ring tx;        // of the guest
    Ring rx;
    lvif_control_ring* to_server = nullptr;
    lvif_control_ring* to_guest = nullptr;
    std::uint32_t event = 0;
    std::uint32_t control_event = 0;

    bool connected() const { return state == LVIF_STATE_CONNECTED; }
};

PatchCable::PatchCable(std::string const& socket, std::array<std::string, 2> names) : names_(std::move(names)) {
    if (lvif_hv_connect(socket.c_str(), LVIF_HV_SERVER, "patch-cable", &hypervisor_) < 0) {
        throw std::runtime_error("connect to librettos-hypervisord as server");
    }
    thread_ = std::thread([this] { run(); });
}

PatchCable::~PatchCable() {
    stop_.store(true);
    thread_.join();
    lvif_hv_close(hypervisor_);
}

std::string PatchCable::read(std::string const& path) const {
    std::array<char, LVIF_HV_VALUE_MAX + 1> value{};
    return lvif_hv_read(hypervisor_, path.c_str(), value.data(), value.size()) < 0 ? "" : value.data();
}

void PatchCable::write(std::string const& path, std::string const& value) const {
    if (lvif_hv_write(hypervisor_, path.c_str(), value.c_str()) < 0) {
        throw std::runtime_error("write " + path);
    }
}

void PatchCable::run() {
    for (unsigned turn = 0; !stop_.load(); ++turn) {
        if (turn % 64 == 0) {
            find_guests();
            attend(0);
            attend(1);
        }
        bool busy = false;
        if (plugs_[0] && plugs_[1] && plugs_[0]->connected() && plugs_[1]->connected()) {
            busy = pass_frames(*plugs_[0], *plugs_[1]);
            busy = pass_frames(*plugs_[1], *plugs_[0]) || busy;
        }
        if (!busy) {
            std::this_thread::sleep_for(std::chrono::microseconds(200));
        }
    }
}

void PatchCable::find_guests() {
    std::array<char, 4096> domains{};
    std::size_t needed = 0;
    int const count = lvif_hv_list(hypervisor_, "/local/domain", domains.data(), domains.size(), &needed);
    char const* domain = domains.data();
    for (int i = 0; i < count; ++i, domain += std::strlen(domain) + 1) {
        std::string const home = std::string("/local/domain/") + domain;
        std::string const name = read(home + "/name");
        for (unsigned guest = 0; guest < 2; ++guest) {
            auto const id = static_cast<std::uint16_t>(std::stoul(domain));
            if (name == names_[guest] && (!plugs_[guest] || plugs_[guest]->domain != id)) {
                plugs_[guest] = std::make_unique<Plug>();
                Plug& plug = *plugs_[guest];
                plug.domain = id;
                plug.frontend = home + "/device/lvif/0";
                plug.backend =
                    "/local/domain/" + std::to_string(lvif_hv_self(hypervisor_)) + "/backend/lvif/" + domain + "/0";
                if (read(plug.backend + "/state") == std::to_string(LVIF_STATE_CONNECTED)) {
                    take_rings(guest, true);
                } else {
                    offer(guest);
                }
            }
        }
    }
}

void PatchCable::offer(unsigned guest) {
    Plug& plug = *plugs_[guest];
    std::string const end = std::to_string(10 + guest);
    (void)lvif_hv_remove(hypervisor_, plug.backend.c_str());
    lvif_hv_permit(hypervisor_, plug.backend.c_str(), lvif_hv_self(hypervisor_), plug.domain);
    std::array<std::array<std::string, 2>, 12> const values{{{"frontend", plug.frontend},
                                                             {"frontend-id", std::to_string(plug.domain)},
                                                             {"version", "1"},
                                                             {"mode", "shared"},
                                                             {"mac", "02:00:00:00:00:" + end},
                                                             {"ipv4", "192.0.2." + end + "/24"},
                                                             {"gateway4", "192.0.2.1"},
                                                             {"mtu", "1500"},
                                                             {"features", std::to_string(LVIF_F_ALL)},
                                                             {"max-queues", "1"},
                                                             {"max-ring-bytes", "1048576"},
                                                             {"port-authority", "hypervisor"}}};
    for (auto const& [key, value] : values) {
        write(plug.backend + "/" + key, value);
    }
    write(plug.backend + "/state", std::to_string(plug.state = LVIF_STATE_INIT_WAIT));
    write(plug.frontend + "/backend-id", std::to_string(lvif_hv_self(hypervisor_)));
    write(plug.frontend + "/backend", plug.backend);
}

void PatchCable::attend(unsigned guest) {
    if (!plugs_[guest]) {
        return;
    }
    Plug& plug = *plugs_[guest];
    std::string const theirs = read(plug.frontend + "/state");
    if (plug.state == LVIF_STATE_INIT_WAIT && theirs == std::to_string(LVIF_STATE_INITIALISED)) {
        take_rings(guest, false);
    } else if (plug.connected() && detach_[guest].exchange(false)) {
        write(plug.backend + "/detach-reason", "pulled by the test");
        write(plug.backend + "/state", std::to_string(plug.state = LVIF_STATE_CLOSING));
    } else if (plug.state == LVIF_STATE_CLOSING && theirs == std::to_string(LVIF_STATE_CLOSED)) {
        write(plug.backend + "/state", std::to_string(plug.state = LVIF_STATE_CLOSED));
        // What was mapped stays mapped: a test's life is short.
    } else if (plug.state == LVIF_STATE_CLOSED && theirs == std::to_string(LVIF_STATE_INITIALISING)) {
        offer(guest);
    } else if (plug.connected()) {
        exchange_messages(guest);
    }
}

void PatchCable::take_rings(unsigned guest, bool again) {
    Plug& plug = *plugs_[guest];
    auto const number = [&](char const* key) {
        return static_cast<std::uint32_t>(std::stoul(read(plug.frontend + "/" + key)));
    };
    std::size_t const ring_bytes = LVIF_PAGE_BYTES + number("ring-bytes");
    auto const bind = [&](std::uint32_t remote, std::uint32_t& local) {
        if (lvif_hv_event_bind(hypervisor_, plug.domain, remote, &local) < 0) {
            throw std::runtime_error("bind an event port");
        }
    };
    auto const map = [&](char const* key, std::size_t bytes, std::int64_t life_sign) {
        void* address = nullptr;
        if (lvif_hv_map(hypervisor_, plug.domain, number(key), bytes, life_sign, plug.control_event, &address) < 0) {
            throw std::runtime_error(std::string("map ") + key);
        }
        return address;
    };
    bind(number("control-event"), plug.control_event);
    bind(number("queue-0/event"), plug.event);
    plug.to_server = static_cast<lvif_control_ring*>(
        map("control-to-server", LVIF_PAGE_BYTES, offsetof(lvif_control_ring, server_alive)));
    plug.to_guest = static_cast<lvif_control_ring*>(map("control-to-guest", LVIF_PAGE_BYTES, -1));
    __atomic_store_n(&plug.to_server->server_alive, 1, __ATOMIC_RELAXED);
    for (auto const& [ring, key] : {std::pair{&plug.tx, "queue-0/tx-ring"}, std::pair{&plug.rx, "queue-0/rx-ring"}}) {
        ring->header = static_cast<lvif_ring_header*>(map(key, ring_bytes, -1));
        ring->data = reinterpret_cast<std::uint8_t*>(ring->header) + LVIF_PAGE_BYTES;
    }
    plug.tx.position = plug.tx.header->tail;
    plug.rx.position = plug.rx.header->head;
    if (!again) {
        write(plug.backend + "/state", std::to_string(LVIF_STATE_CONNECTED));
    }
    plug.state = LVIF_STATE_CONNECTED;
    connections_[guest].fetch_add(1);
}

// Answers each HELLO with the state of the link.
void PatchCable::exchange_messages(unsigned guest) {
    Plug& plug = *plugs_[guest];
    std::uint32_t const head = __atomic_load_n(&plug.to_server->head, __ATOMIC_ACQUIRE);
    for (std::uint32_t tail = plug.to_server->tail; tail != head; ++tail) {
        lvif_message const message = plug.to_server->slots[tail % LVIF_CONTROL_SLOTS];
        if (message.type == LVIF_MSG_HELLO) {
            lvif_message link{};
            link.type = LVIF_MSG_LINK;
            link.u.link.up = 1;
            send(plug, link);
        } else if (message.type == LVIF_MSG_REPLY) {
            std::lock_guard const lock(mutex_);
            answer_[guest] = message.status;
            answered_.notify_all();
        }
        __atomic_store_n(&plug.to_server->tail, tail + 1, __ATOMIC_RELEASE);
    }
    std::lock_guard const lock(mutex_);
    if (auto const message = std::exchange(to_say_[guest], std::nullopt)) {
        send(plug, *message);
    }
}

void PatchCable::send(Plug& plug, lvif_message const& message) {
    std::uint32_t const place = plug.to_guest->head;
    plug.to_guest->slots[place % LVIF_CONTROL_SLOTS] = message;
    __atomic_store_n(&plug.to_guest->head, place + 1, __ATOMIC_SEQ_CST);
    lvif_hv_event_notify(hypervisor_, plug.control_event);
}

int PatchCable::say(unsigned guest, lvif_message_type message) {
    lvif_message request{};
    request.type = static_cast<std::uint16_t>(message);
    request.flags = LVIF_MSG_WANTS_REPLY;
    std::array<std::uint8_t, 6> const mac{2, 0, 0, 0, 0, static_cast<std::uint8_t>(0x10 + guest)};
    std::copy(mac.begin(), mac.end(), request.u.vf.mac);
    std::unique_lock lock(mutex_);
    answer_[guest].reset();
    to_say_[guest] = request;
    return answered_.wait_for(lock, std::chrono::seconds(60), [&] { return answer_[guest].has_value(); })
               ? *answer_[guest]
               : -ETIME;
}

bool PatchCable::pass_frames(Plug& from, Plug& to) {
    std::uint64_t const head = __atomic_load_n(&from.tx.header->head, __ATOMIC_ACQUIRE);
    std::uint64_t const start = from.tx.position;
    std::uint64_t const room_from = __atomic_load_n(&to.rx.header->tail, __ATOMIC_ACQUIRE);
    std::uint64_t const capacity = to.rx.header->capacity;
    while (from.tx.position != head) {
        lvif_record record{};
        std::memcpy(&record, from.tx.at(from.tx.position), sizeof record);
        std::uint64_t const needed = lvif_record_bytes(record.length);
        if ((record.flags & LVIF_PAD) == 0) {
            std::uint64_t const to_end = capacity - (to.rx.position & (capacity - 1));
            std::uint64_t const pad = needed > to_end ? to_end : 0;
            if (to.rx.position + pad + needed - room_from > capacity) {
                break;  // the guest is slow: its frames wait in the other's ring
            }
            if (pad != 0) {
                lvif_record const filler{.length = static_cast<std::uint32_t>(pad - sizeof record),
                                         .flags = LVIF_PAD,
                                         .csum_start = 0,
                                         .csum_offset = 0,
                                         .gso_size = 0,
                                         .header_length = 0,
                                         .reserved = 0};
                std::memcpy(to.rx.at(to.rx.position), &filler, sizeof filler);
                to.rx.position += pad;
            }
            std::memcpy(to.rx.at(to.rx.position), from.tx.at(from.tx.position), needed);
            to.rx.position += needed;
            large_frames_.fetch_add((record.flags & LVIF_GSO_TCP4) != 0 ? 1 : 0);
        }
        from.tx.position += needed;
    }
    if (from.tx.position == start) {
        return false;
    }
    __atomic_store_n(&to.rx.header->head, to.rx.position, __ATOMIC_SEQ_CST);
    __atomic_store_n(&from.tx.header->tail, from.tx.position, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&to.rx.header->consumer_sleeps, __ATOMIC_SEQ_CST) != 0) {
        lvif_hv_event_notify(hypervisor_, to.event);
    }
    if (__atomic_load_n(&from.tx.header->producer_waits, __ATOMIC_SEQ_CST) != 0) {
        lvif_hv_event_notify(hypervisor_, from.event);
    }
    return true;
}

}  // namespace librettos::guest
