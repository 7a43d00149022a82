// SPDX-License-Identifier: BSD-2-Clause
// The control thread's side of the data threads: slots, hand-over of guests, acknowledgements.
#include "daemon/engine/datapath/data_plane.hpp"

#include <pthread.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstring>
#include <span>
#include <system_error>
#include <thread>
#include <utility>

#include "daemon/engine/datapath/data_thread.hpp"

namespace librettos {

namespace {

constexpr std::uint16_t no_domain = 0xffff;
constexpr std::uint32_t fatal_engines = 3;  // that crashed in a row while serving one guest

// A slot of the statistics file, changed so that a reader notices (StatsSlot::generation).
void write_slot(StatsSlot& slot, std::uint16_t domain, std::string const& name) {
    slot.generation.fetch_add(1, std::memory_order_acq_rel);
    slot.domain = domain;
    std::memset(slot.name, 0, sizeof slot.name);
    std::memcpy(slot.name, name.data(), std::min(name.size(), sizeof slot.name - 1));
    slot.generation.fetch_add(1, std::memory_order_release);
}

bool is_slot_of(StatsSlot const& slot, DomId domain, std::string const& name) {
    return slot.domain == domain.value &&
           std::strncmp(slot.name, name.substr(0, sizeof slot.name - 1).c_str(), sizeof slot.name) == 0;
}

std::system_error failure(int error, char const* what) {
    return std::system_error(error, std::generic_category(), what);
}

}  // namespace

struct DataPlane::State {
    struct Resident {
        std::unique_ptr<Guest> guest;
        std::uint16_t awaited = 0;  // acknowledgements until the present command is done
        bool leaving = false;
        bool direct = false;            // as it shall be
        bool direct_told = false;       // as the last command said
        std::uint16_t direct_acks = 0;  // awaited; 0: the next command may go
        std::uint16_t drain_acks = 0;
        unsigned drain_passes = 0;  // still to be made; 0: nobody waits
        bool drain_anew = false;
        std::uint32_t mark = 0;
        std::uint64_t drain_began = 0;  // frames put into the guest's rings
    };

    StatsHeader* stats = nullptr;
    std::span<InFlight> in_flight;  // one per data thread
    std::span<StatsSlot> slots;
    std::vector<std::unique_ptr<DataThread>> data_threads;
    std::vector<std::thread> threads;
    std::vector<Resident> residents{max_slots};
    std::vector<bool> claimed = std::vector<bool>(max_slots, false);  // by a guest since this engine started
    std::vector<std::unique_ptr<NetworkIdentity>> networks;           // until every thread has taken them over
    std::vector<std::uint16_t> networks_awaited;
    std::span<std::atomic<std::uint64_t> const> steered;  // by VF
    std::uint64_t engine = 0;                             // generation
    int event_fd = -1;

    std::uint64_t* cells(std::uint16_t thread) const {
        auto* const base = reinterpret_cast<std::byte*>(stats) + stats->cells_offset +
                           thread * stats_thread_cells_bytes(stats->slots, stats->counters);
        return reinterpret_cast<std::uint64_t*>(base);
    }

    void send(DataCommand const& command) {
        for (auto& thread : data_threads) {
            [[maybe_unused]] bool const sent = thread->commands.push(command);
            assert(sent && "at most an add and a remove per slot are under way");
            thread->wake();
        }
    }

    void note_suspects(bool after_crash);
    bool is_refused(Slot slot) const;
    Slot find_slot(DomId domain, std::string const& name) const;
    void take_slot(Slot slot, DomId domain, std::string const& name);
    std::uint64_t sum(Slot slot, Counter counter) const;
    void tell_direct(Slot slot);
    void begin_pass(Slot slot);
    bool on_switch_ack(DataAck const& ack, std::vector<DataEvent>& events);
    void on_ack(DataAck const& ack, std::vector<DataEvent>& events);
};

// A frame stays in its guest's ring until it has been handled. One that crashes the engine would crash each next one,
// so a guest during whose frames several engines in a row have crashed is not served any more. A kill from outside says
// nothing.
void DataPlane::State::note_suspects(bool after_crash) {
    for (InFlight& thread : in_flight) {
        Slot const serving = std::exchange(thread.serving, wire_slot);
        if (after_crash) {
            thread.suspect_deaths = serving != wire_slot && serving == thread.suspect ? thread.suspect_deaths + 1 : 1;
            thread.suspect = serving;
        }
    }
}

bool DataPlane::State::is_refused(Slot slot) const {
    return std::any_of(in_flight.begin(), in_flight.end(), [slot](InFlight const& thread) {
        return thread.suspect == slot && thread.suspect_deaths >= fatal_engines;
    });
}

// The slot that the guest had with an earlier engine, else one that nobody has, else one that nobody came back to.
Slot DataPlane::State::find_slot(DomId domain, std::string const& name) const {
    Slot unused = wire_slot;
    Slot stale = wire_slot;
    for (Slot slot = 1; slot < slots.size(); ++slot) {
        if (claimed[slot]) {
            continue;
        }
        if (is_slot_of(slots[slot], domain, name)) {
            return slot;
        }
        if (slots[slot].domain == no_domain) {
            unused = unused == wire_slot ? slot : unused;
        } else {
            stale = stale == wire_slot ? slot : stale;
        }
    }
    return unused != wire_slot ? unused : stale;
}

void DataPlane::State::take_slot(Slot slot, DomId domain, std::string const& name) {
    claimed[slot] = true;
    if (is_slot_of(slots[slot], domain, name)) {
        return;
    }
    for (InFlight& thread : in_flight) {
        thread.suspect = thread.suspect == slot ? wire_slot : thread.suspect;
    }
    for (std::uint16_t thread = 0; thread < stats->threads; ++thread) {
        std::uint64_t* const first = cells(thread) + std::size_t{slot} * counter_count;
        std::for_each(first, first + counter_count,
                      [](std::uint64_t& cell) { __atomic_store_n(&cell, 0, __ATOMIC_RELAXED); });
    }
    write_slot(slots[slot], domain.value, name);
}

DataPlane::DataPlane(EngineBoot const& boot, NetworkIdentity const& network, lvif_portmap const& portmap)
    : state_(std::make_unique<State>()) {
    State& state = *state_;
    state.stats = boot.stats;
    state.slots = {reinterpret_cast<StatsSlot*>(reinterpret_cast<std::byte*>(boot.stats) + boot.stats->slots_offset),
                   std::min<std::size_t>(boot.stats->slots, max_slots)};
    state.event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (state.event_fd < 0) {
        throw failure(errno, "make the data plane's event descriptor");
    }
    state.in_flight = {boot.in_flight, boot.data_threads};
    state.note_suspects(boot.after_crash);
    state.steered = boot.steered;
    state.engine = boot.generation;
    for (std::uint16_t i = 0; i < boot.data_threads; ++i) {
        DataThreadSetup setup;
        setup.port = &boot.port;
        setup.pool = boot.pool;
        setup.in_flight = boot.in_flight;
        setup.stats = &boot.stats->thread[i];
        setup.cells = state.cells(i);
        setup.index = i;
        setup.threads = boot.data_threads;
        setup.poll_us = poll_limit_us(boot.config->data.poll_us, boot.wake_up_ns);
        setup.gro = boot.config->data.gro;
        state.data_threads.push_back(std::make_unique<DataThread>(setup, network, portmap, state.event_fd));
    }
    std::vector<DataThread*> all;
    for (auto& thread : state.data_threads) {
        all.push_back(thread.get());
    }
    for (std::size_t i = 0; i < all.size(); ++i) {
        std::vector<DataThread*> peers = all;
        peers.erase(peers.begin() + static_cast<std::ptrdiff_t>(i));
        all[i]->set_peers(peers);
    }
    std::vector<std::uint16_t> const& cores = boot.config->data.cores;
    for (std::size_t i = 0; i < all.size(); ++i) {
        auto const lcore = static_cast<unsigned>(boot.first_lcore + i);
        state.threads.emplace_back([thread = all[i], lcore] {
            RTE_PER_LCORE(_lcore_id) = lcore;  // whose buffer cache this thread uses
            thread->run();
        });
        pthread_setname_np(state.threads.back().native_handle(), ("data-" + std::to_string(i)).c_str());
        if (i < cores.size()) {
            cpu_set_t set;
            CPU_ZERO(&set);
            CPU_SET(cores[i], &set);
            pthread_setaffinity_np(state.threads.back().native_handle(), sizeof set, &set);
        }
    }
}

DataPlane::~DataPlane() {
    state_->send({.kind = DataCommand::Kind::stop, .slot = wire_slot});
    for (std::thread& thread : state_->threads) {
        thread.join();
    }
    close(state_->event_fd);
}

Slot DataPlane::add_guest(GuestAttachment const& attachment) {
    State& state = *state_;
    Slot const slot = state.find_slot(attachment.identity.domain, attachment.name);
    if (slot == wire_slot) {
        throw failure(ENOSPC, "give a guest a slot (all are taken)");
    }
    if (is_slot_of(state.slots[slot], attachment.identity.domain, attachment.name) && state.is_refused(slot)) {
        throw failure(EPERM, "killed 3 engines");
    }
    auto guest = std::make_unique<Guest>();
    guest->slot = slot;
    guest->identity = attachment.identity;
    guest->features = attachment.features;
    guest->limiter.set(attachment.limit.frames_per_s, attachment.limit.bits_per_s);
    for (QueuePair const& pair : attachment.queues) {
        auto const consumer = RingConsumer::adopt(pair.tx_ring, pair.capacity);
        auto producer = RingProducer::adopt(pair.rx_ring, pair.capacity);
        if (!consumer || !producer) {
            throw failure(EINVAL, "the positions in the guest's ring are not those of a ring");
        }
        producer->mark(0);  // an earlier engine's says nothing about a switch that is begun again
        auto const thread = static_cast<std::uint16_t>(guest->queues.size() % state.data_threads.size());
        guest->queues.emplace_back(*guest, *consumer, *producer, pair.event, thread);
    }
    state.take_slot(slot, attachment.identity.domain, attachment.name);
    State::Resident& resident = state.residents[slot];
    resident.leaving = false;
    resident.direct = resident.direct_told = false;
    resident.drain_passes = 0;
    resident.awaited = static_cast<std::uint16_t>(state.data_threads.size());
    resident.guest = std::move(guest);
    state.send({.kind = DataCommand::Kind::add, .slot = slot, .guest = resident.guest.get()});
    return slot;
}

void DataPlane::remove_guest(Slot slot) {
    State::Resident& resident = state_->residents.at(slot);
    if (resident.guest == nullptr || resident.leaving) {
        return;
    }
    resident.leaving = true;
    resident.awaited = static_cast<std::uint16_t>(resident.awaited + state_->data_threads.size());
    state_->send({.kind = DataCommand::Kind::remove, .slot = slot});
}

void DataPlane::set_limit(Slot slot, RateLimit limit) {
    if (auto& guest = state_->residents.at(slot).guest) {
        guest->limiter.set(limit.frames_per_s, limit.bits_per_s);
    }
}

void DataPlane::set_network(NetworkIdentity const& network) {
    State& state = *state_;
    state.networks.push_back(std::make_unique<NetworkIdentity>(network));
    state.networks_awaited.push_back(static_cast<std::uint16_t>(state.data_threads.size()));
    state.send({.kind = DataCommand::Kind::network, .slot = wire_slot, .network = state.networks.back().get()});
}

std::uint64_t DataPlane::State::sum(Slot slot, Counter counter) const {
    std::uint64_t sum = 0;
    for (std::uint16_t thread = 0; thread < stats->threads; ++thread) {
        sum += __atomic_load_n(cells(thread) + std::size_t{slot} * counter_count + static_cast<std::size_t>(counter),
                               __ATOMIC_RELAXED);
    }
    return sum;
}

RingTraffic DataPlane::traffic(Slot slot) const {
    return {state_->sum(slot, Counter::to_guest_frames), state_->sum(slot, Counter::to_guest_bytes),
            state_->sum(slot, Counter::from_guest_frames), state_->sum(slot, Counter::from_guest_bytes)};
}

// One command at a time: what is wanted may change faster than the threads take it over.
void DataPlane::State::tell_direct(Slot slot) {
    Resident& resident = residents[slot];
    if (resident.direct_acks == 0 && resident.direct != resident.direct_told) {
        resident.direct_told = resident.direct;
        resident.direct_acks = static_cast<std::uint16_t>(data_threads.size());
        send({.kind = DataCommand::Kind::direct, .slot = slot, .direct = resident.direct});
    }
}

void DataPlane::State::begin_pass(Slot slot) {
    Resident& resident = residents[slot];
    resident.drain_acks = static_cast<std::uint16_t>(data_threads.size());
    std::uint32_t const mark = resident.drain_passes == 1 ? resident.mark : 0;
    send({.kind = DataCommand::Kind::drain, .slot = slot, .mark = mark});
}

void DataPlane::set_direct(Slot slot, bool direct) {
    State::Resident& resident = state_->residents.at(slot);
    if (resident.guest != nullptr && !resident.leaving) {
        resident.direct = direct;
        state_->tell_direct(slot);
    }
}

// A frame may go from the thread that received it to the keeper, and from there to the one that serves the guest: each
// pass takes it one thread further.
void DataPlane::drain(Slot slot, std::uint32_t mark) {
    State::Resident& resident = state_->residents.at(slot);
    resident.mark = mark;
    resident.drain_passes = state_->data_threads.size() == 1 ? 1 : 3;
    resident.drain_began = state_->sum(slot, Counter::to_guest_frames);
    resident.drain_anew = resident.drain_acks != 0;
    if (!resident.drain_anew) {
        state_->begin_pass(slot);
    }
}

void DataPlane::watch_steering(Slot slot, std::uint16_t vf, std::uint32_t request, std::uint32_t mark) {
    if (vf < state_->steered.size()) {
        state_->send({.kind = DataCommand::Kind::watch_steering,
                      .slot = slot,
                      .mark = state_->data_threads.size() == 1 ? mark : 0,
                      .steered = &state_->steered[vf],
                      .awaited = steering_word(state_->engine, request)});
    }
}

void DataPlane::release_unclaimed_slots() {
    for (Slot slot = 1; slot < state_->slots.size(); ++slot) {
        if (!state_->claimed[slot] && state_->slots[slot].domain != no_domain) {
            write_slot(state_->slots[slot], no_domain, "");
        }
    }
}

int DataPlane::event_fd() const {
    return state_->event_fd;
}

// These may come when the guest has gone, and another one has its slot.
bool DataPlane::State::on_switch_ack(DataAck const& ack, std::vector<DataEvent>& events) {
    Resident& resident = residents[ack.slot];
    if (ack.kind == DataAck::Kind::direct) {
        if (--resident.direct_acks == 0) {
            tell_direct(ack.slot);
        }
        return true;
    }
    if (ack.kind != DataAck::Kind::drained) {
        return false;
    }
    if (--resident.drain_acks != 0 || resident.drain_passes == 0) {
        return true;
    }
    if (!std::exchange(resident.drain_anew, false) && --resident.drain_passes == 0) {
        events.push_back(
            {DataEvent::Kind::drained, ack.slot, "", sum(ack.slot, Counter::to_guest_frames) - resident.drain_began});
    } else {
        begin_pass(ack.slot);
    }
    return true;
}

void DataPlane::State::on_ack(DataAck const& ack, std::vector<DataEvent>& events) {
    if (ack.kind == DataAck::Kind::network) {
        for (std::size_t i = 0; i < networks.size(); ++i) {
            if (networks[i].get() == ack.subject && --networks_awaited[i] == 0) {
                networks.erase(networks.begin() + static_cast<std::ptrdiff_t>(i));
                networks_awaited.erase(networks_awaited.begin() + static_cast<std::ptrdiff_t>(i));
                return;
            }
        }
        return;
    }
    if (ack.kind == DataAck::Kind::stopped || on_switch_ack(ack, events)) {
        return;
    }
    Resident& resident = residents[ack.slot];
    if (ack.kind == DataAck::Kind::broken) {
        if (!resident.leaving) {
            events.push_back({DataEvent::Kind::broken, ack.slot, ack.reason});
        }
        return;
    }
    if (--resident.awaited != 0) {
        return;
    }
    if (!resident.leaving) {
        events.push_back({DataEvent::Kind::added, ack.slot, ""});
        return;
    }
    resident.guest.reset();
    resident.leaving = false;
    claimed[ack.slot] = false;
    write_slot(slots[ack.slot], no_domain, "");
    events.push_back({DataEvent::Kind::removed, ack.slot, ""});
}

std::vector<DataEvent> DataPlane::take_events() {
    std::uint64_t ignored;
    [[maybe_unused]] auto const got = read(state_->event_fd, &ignored, sizeof ignored);
    std::vector<DataEvent> events;
    for (auto& thread : state_->data_threads) {
        DataAck ack;
        while (thread->acknowledgements.pop(ack)) {
            state_->on_ack(ack, events);
        }
    }
    return events;
}

}  // namespace librettos
