// SPDX-License-Identifier: BSD-2-Clause
#include "tests/unit/dataplane/world.hpp"

#include <arpa/inet.h>
#include <rte_eal.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>

#include "daemon/engine/datapath/checksum.hpp"
#include "daemon/engine/datapath/headers.hpp"

namespace librettos::test {

World* const world = static_cast<World*>(testing::AddGlobalTestEnvironment(new World));

Bytes make_frame(FrameSpec const& spec) {
    bool const tcp = spec.protocol == protocol::tcp;
    std::size_t const l4_bytes = (tcp ? tcp_bytes : udp_bytes) + spec.payload_bytes;
    Bytes frame(ether_bytes + ipv4_bytes + l4_bytes, spec.fill);
    std::memcpy(frame.data(), spec.destination_mac.bytes.data(), 6);
    std::memcpy(frame.data() + 6, spec.source_mac.bytes.data(), 6);
    store_be16(frame.data() + 12, ethertype::ipv4);
    std::uint8_t* const ip = frame.data() + ether_bytes;
    std::memset(ip, 0, ipv4_bytes + (tcp ? tcp_bytes : udp_bytes));
    ip[0] = 0x45;
    store_be16(ip + 2, static_cast<std::uint16_t>(ipv4_bytes + l4_bytes));
    store_be16(ip + 6, 0x4000);
    ip[8] = 64;
    ip[9] = spec.protocol;
    store_be32(ip + 12, spec.source);
    store_be32(ip + 16, spec.destination);
    checksum_store(ip + 10, checksum_finish(checksum_add({ip, ipv4_bytes})));
    std::uint8_t* const l4 = ip + ipv4_bytes;
    store_be16(l4, spec.source_port);
    store_be16(l4 + 2, spec.destination_port);
    if (tcp) {
        store_be32(l4 + 4, spec.sequence);
        l4[12] = 0x50;
        l4[13] = spec.tcp_flags;
        store_be16(l4 + 14, 1000);
    } else {
        store_be16(l4 + 4, static_cast<std::uint16_t>(l4_bytes));
    }
    std::uint64_t const pseudo =
        pseudo_header_sum({ip + 12, 4}, {ip + 16, 4}, spec.protocol, static_cast<std::uint32_t>(l4_bytes));
    checksum_store(l4 + (tcp ? 16 : 6), checksum_finish(checksum_add({l4, l4_bytes}, pseudo)));
    return frame;
}

bool checksums_hold(Bytes const& frame) {
    return packet_checksums_ok(std::span(frame).subspan(ether_bytes));
}

TestChannel::TestChannel() : to_server_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
}
TestChannel::~TestChannel() {
    close(to_server_);
}
void TestChannel::clear() noexcept {
    std::uint64_t ignored;
    [[maybe_unused]] auto const got = read(to_server_, &ignored, sizeof ignored);
}
void TestChannel::ring() {
    std::uint64_t const one = 1;
    [[maybe_unused]] auto const put = write(to_server_, &one, sizeof one);
}

TestGuest::TestGuest(std::uint16_t domain, std::uint32_t features_, std::size_t queues) : features(features_) {
    identity.domain = {domain};
    identity.mac = World::shared_mac();
    identity.ipv4.be = htonl(World::shared_ip);
    for (std::size_t i = 0; i < queues; ++i) {
        auto end = std::make_unique<End>();
        constexpr std::size_t ring_bytes = LVIF_PAGE_BYTES + capacity;
        end->memory.resize(2 * ring_bytes + 64);
        auto const misaligned = reinterpret_cast<std::uintptr_t>(end->memory.data()) % 64;
        std::byte* const start = end->memory.data() + (64 - misaligned);
        end->tx = {start, ring_bytes};
        end->rx = {start + ring_bytes, ring_bytes};
        end->channel = std::make_unique<TestChannel>();
        end->producer = RingProducer::adopt(end->tx, capacity);
        end->consumer = RingConsumer::adopt(end->rx, capacity);
        ends_.push_back(std::move(end));
    }
}

std::unique_ptr<Guest> TestGuest::attach(Slot slot, std::uint16_t threads) {
    auto guest = std::make_unique<Guest>();
    guest->slot = slot;
    guest->identity = identity;
    guest->features = features;
    for (auto& end : ends_) {
        guest->queues.emplace_back(*guest, *RingConsumer::adopt(end->tx, capacity),
                                   *RingProducer::adopt(end->rx, capacity), end->channel.get(),
                                   static_cast<std::uint16_t>(guest->queues.size() % threads));
    }
    return guest;
}

GuestAttachment TestGuest::attachment(std::string const& name) {
    GuestAttachment attachment{identity, name, features, {}, {}};
    for (auto& end : ends_) {
        attachment.queues.push_back({end->tx, end->rx, capacity, end->channel.get()});
    }
    return attachment;
}

bool TestGuest::send(Bytes const& frame, lvif_record const& offload, std::size_t queue) {
    End& end = *ends_[queue];
    bool const put = end.producer->put(reinterpret_cast<std::byte const*>(frame.data()),
                                       static_cast<std::uint32_t>(frame.size()), offload);
    end.producer->publish();
    full_fence();
    if (end.producer->consumer_sleeps()) {
        end.channel->ring();
    }
    return put;
}

std::vector<TestGuest::Received> TestGuest::receive() {
    std::vector<Received> all;
    for (auto& end : ends_) {
        RingConsumer::Frame frame;
        end->consumer->refresh();
        while (end->consumer->take(frame)) {
            auto const* const bytes = reinterpret_cast<std::uint8_t const*>(frame.bytes);
            all.push_back({Bytes(bytes, bytes + frame.record.length), frame.record});
        }
        end->consumer->publish();
    }
    return all;
}

lvif_ring_header& TestGuest::tx_header(std::size_t queue) {
    return *reinterpret_cast<lvif_ring_header*>(ends_[queue]->tx.data());
}
lvif_ring_header& TestGuest::rx_header(std::size_t queue) {
    return *reinterpret_cast<lvif_ring_header*>(ends_[queue]->rx.data());
}

void World::SetUp() {
    char const* const arguments[] = {"dataplane_test", "--no-huge",   "-m", "128", "--no-telemetry",
                                     "--no-pci",       "--no-shconf", "-l", "0",   "--log-level=4"};
    ASSERT_GE(rte_eal_init(static_cast<int>(std::size(arguments)), const_cast<char**>(arguments)), 0);
    pool_ = rte_pktmbuf_pool_create("frames", 2047, 0, 0, RTE_PKTMBUF_HEADROOM + 2048, 0);
    ASSERT_NE(pool_, nullptr);
    for (std::uint16_t i = 0; i < queues; ++i) {
        std::string const number = std::to_string(i);
        to_server_[i] = rte_ring_create(("in" + number).c_str(), 1024, 0, RING_F_SP_ENQ | RING_F_SC_DEQ);
        from_server_[i] = rte_ring_create(("out" + number).c_str(), 1024, 0, RING_F_SP_ENQ | RING_F_SC_DEQ);
    }
    int const id = rte_eth_from_rings("port", to_server_, queues, from_server_, queues, 0);
    ASSERT_GE(id, 0);
    port.port_id = static_cast<std::uint16_t>(id);
    port.queues = queues;
    rte_eth_conf const configuration{};
    ASSERT_EQ(rte_eth_dev_configure(port.port_id, queues, queues, &configuration), 0);
    for (std::uint16_t i = 0; i < queues; ++i) {
        ASSERT_EQ(rte_eth_rx_queue_setup(port.port_id, i, 512, 0, nullptr, pool_), 0);
        ASSERT_EQ(rte_eth_tx_queue_setup(port.port_id, i, 512, 0, nullptr), 0);
    }
    ASSERT_EQ(rte_eth_dev_start(port.port_id), 0);
    portmap_ = std::make_unique<lvif_portmap>();
    in_flight_ = static_cast<InFlight*>(
        mmap(nullptr, max_data_threads * sizeof(InFlight), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    std::size_t const slots_bytes = max_slots * sizeof(StatsSlot);
    std::size_t const bytes =
        sizeof(StatsHeader) + slots_bytes + queues * stats_thread_cells_bytes(max_slots, counter_count);
    statistics_.resize(bytes / 8 + 1);
    stats_ = reinterpret_cast<StatsHeader*>(statistics_.data());
    reset();
}

void World::reset() {
    std::memset(portmap_.get(), 0, sizeof *portmap_);
    for (std::size_t thread = 0; thread < queues; ++thread) {
        for (std::uint32_t i = 0; i < in_flight_[thread].spares; ++i) {
            rte_pktmbuf_free(in_flight_[thread].spare[i]);
        }
    }
    std::memset(static_cast<void*>(in_flight_), 0, max_data_threads * sizeof(InFlight));
    std::fill(statistics_.begin(), statistics_.end(), 0);
    stats_->threads = queues;
    stats_->slots = max_slots;
    stats_->counters = counter_count;
    stats_->slots_offset = sizeof(StatsHeader);
    stats_->cells_offset = sizeof(StatsHeader) + max_slots * sizeof(StatsSlot);
    auto* const slots = reinterpret_cast<StatsSlot*>(reinterpret_cast<std::byte*>(stats_) + stats_->slots_offset);
    for (std::size_t i = 0; i < max_slots; ++i) {
        slots[i].domain = 0xffff;
    }
    for (std::uint16_t queue = 0; queue < queues; ++queue) {
        sent(queue);
    }
}

std::uint64_t World::count(Slot slot, Counter counter) const {
    std::uint64_t sum = 0;
    for (std::size_t thread = 0; thread < queues; ++thread) {
        auto const* const cells =
            reinterpret_cast<std::uint64_t const*>(reinterpret_cast<std::byte const*>(stats_) + stats_->cells_offset +
                                                   thread * stats_thread_cells_bytes(max_slots, counter_count));
        sum += __atomic_load_n(cells + slot * counter_count + static_cast<std::size_t>(counter), __ATOMIC_RELAXED);
    }
    return sum;
}

NetworkIdentity World::network() const {
    NetworkIdentity network;
    network.mac = shared_mac();
    network.ipv4.be = htonl(shared_ip);
    network.ipv4_broadcast.be = htonl(0x0a0000ff);
    return network;
}

void World::own(std::uint16_t domain, std::uint16_t port_number) {
    portmap_->tcp[port_number] = lvif_port_entry(LVIF_PORT_BOUND, domain, 0);
    portmap_->udp[port_number] = lvif_port_entry(LVIF_PORT_BOUND, domain, 0);
}

void World::arrive(Bytes const& frame, std::uint16_t queue) {
    rte_mbuf* const buffer = rte_pktmbuf_alloc(pool_);
    ASSERT_NE(buffer, nullptr);
    std::memcpy(rte_pktmbuf_append(buffer, static_cast<std::uint16_t>(frame.size())), frame.data(), frame.size());
    arrive(buffer, queue);
}

void World::arrive(rte_mbuf* buffer, std::uint16_t queue) {
    ASSERT_EQ(rte_ring_enqueue(to_server_[queue], buffer), 0);
}

rte_mbuf* World::take_sent(std::uint16_t queue) {
    void* object = nullptr;
    return rte_ring_dequeue(from_server_[queue], &object) == 0 ? static_cast<rte_mbuf*>(object) : nullptr;
}

std::vector<Bytes> World::sent(std::uint16_t queue) {
    std::vector<Bytes> frames;
    while (rte_mbuf* const buffer = take_sent(queue)) {
        auto const* const bytes = rte_pktmbuf_mtod(buffer, std::uint8_t const*);
        frames.emplace_back(bytes, bytes + buffer->pkt_len);
        rte_pktmbuf_free(buffer);
    }
    return frames;
}

std::uint32_t World::buffers_in_use() const {
    std::uint32_t spares = 0;
    for (std::size_t thread = 0; thread < queues; ++thread) {
        spares += in_flight_[thread].spares;
    }
    return rte_mempool_in_use_count(pool_) - spares;
}

FrameSpec World::inbound(std::uint16_t port_number) const {
    FrameSpec spec;
    spec.source_mac = peer_mac();
    spec.destination_mac = shared_mac();
    spec.source = peer_ip;
    spec.destination = shared_ip;
    spec.source_port = 4000;
    spec.destination_port = port_number;
    return spec;
}

FrameSpec World::outbound(std::uint16_t port_number) const {
    FrameSpec spec;
    spec.source_mac = shared_mac();
    spec.destination_mac = peer_mac();
    spec.source = shared_ip;
    spec.destination = peer_ip;
    spec.source_port = port_number;
    spec.destination_port = 4000;
    return spec;
}

DataThreadSetup World::setup(std::uint16_t index, std::uint16_t threads) {
    DataThreadSetup setup;
    setup.port = &port;
    setup.pool = pool_;
    setup.in_flight = in_flight_;
    setup.stats = &stats_->thread[index];
    setup.cells = reinterpret_cast<std::uint64_t*>(reinterpret_cast<std::byte*>(stats_) + stats_->cells_offset +
                                                   index * stats_thread_cells_bytes(max_slots, counter_count));
    setup.index = index;
    setup.threads = threads;
    return setup;
}

EngineBoot World::boot(std::uint16_t threads) {
    EngineBoot boot;
    boot.config = &config_;
    boot.port = port;
    boot.pool = pool_;
    boot.data_threads = threads;
    boot.stats = stats_;
    boot.in_flight = in_flight_;
    return boot;
}

}  // namespace librettos::test

int main(int argc, char** argv) {
    testing::InitGoogleTest(&argc, argv);
    return RUN_ALL_TESTS();
}
