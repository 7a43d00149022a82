// SPDX-License-Identifier: BSD-2-Clause
// A port made of rings in memory, and guests whose rings are plain memory: what surrounds a data thread in its tests.
#pragma once

#include <gtest/gtest.h>
#include <rte_mbuf.h>
#include <rte_ring.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "daemon/engine/datapath/data_plane.hpp"
#include "daemon/engine/datapath/data_thread.hpp"

namespace librettos::test {

using Bytes = std::vector<std::uint8_t>;

// A frame to or from the shared address, UDP or TCP, with right checksums.
struct FrameSpec {
    MacAddress source_mac;
    MacAddress destination_mac;
    std::uint32_t source = 0;  // addresses and ports in host order
    std::uint32_t destination = 0;
    std::uint16_t source_port = 0;
    std::uint16_t destination_port = 0;
    std::uint8_t protocol = 17;
    std::uint32_t sequence = 0;
    std::uint8_t tcp_flags = 0x10;
    std::size_t payload_bytes = 18;
    std::uint8_t fill = 0x5a;
};
Bytes make_frame(FrameSpec const& spec);
bool checksums_hold(Bytes const& frame);

// An event channel made of one eventfd for each direction.
class TestChannel : public EventChannel {
  public:
    TestChannel();
    ~TestChannel() override;
    EventPort local_port() const override { return {}; }
    int fd() const override { return to_server_; }
    void notify() noexcept override { ++notified_; }
    void clear() noexcept override;
    void ring();  // the guest's notification
    int notified() const { return notified_.load(); }

  private:
    int to_server_;
    std::atomic<int> notified_{0};
};

// The guest's end of its rings. The server's classes serve for that as well: a ring is the same from both ends.
class TestGuest {
  public:
    static constexpr std::uint32_t capacity = LVIF_RING_MIN_CAPACITY;

    TestGuest(std::uint16_t domain, std::uint32_t features, std::size_t queues = 1);

    std::unique_ptr<Guest> attach(Slot slot, std::uint16_t threads = 1);
    GuestAttachment attachment(std::string const& name);

    bool send(Bytes const& frame, lvif_record const& offload = {}, std::size_t queue = 0);  // and rings when asked to
    struct Received {
        Bytes frame;
        lvif_record record;
    };
    std::vector<Received> receive();  // from all queues
    lvif_ring_header& tx_header(std::size_t queue = 0);
    lvif_ring_header& rx_header(std::size_t queue = 0);
    TestChannel& channel(std::size_t queue = 0) { return *ends_[queue]->channel; }

    GuestIdentity identity;
    std::uint32_t features;

  private:
    struct End {
        std::vector<std::byte> memory;
        std::span<std::byte> tx;
        std::span<std::byte> rx;
        std::unique_ptr<TestChannel> channel;
        std::optional<RingProducer> producer;
        std::optional<RingConsumer> consumer;
    };
    std::vector<std::unique_ptr<End>> ends_;
};

// One per test process.
class World : public testing::Environment {
  public:
    void SetUp() override;

    static constexpr std::uint32_t shared_ip = 0x0a000002;
    static constexpr std::uint32_t peer_ip = 0x0a000001;
    static MacAddress shared_mac() { return {{0x02, 0, 0, 0, 0, 2}}; }
    static MacAddress peer_mac() { return {{0x02, 0, 0, 0, 0, 1}}; }

    NetworkIdentity network() const;
    void own(std::uint16_t domain, std::uint16_t port);  // TCP and UDP
    void arrive(Bytes const& frame, std::uint16_t queue = 0);
    void arrive(rte_mbuf* buffer, std::uint16_t queue = 0);
    rte_mbuf* take_sent(std::uint16_t queue = 0);  // nullptr: nothing was sent
    std::vector<Bytes> sent(std::uint16_t queue = 0);
    std::uint32_t buffers_in_use() const;  // besides the spare ones of the data threads
    void reset();                          // ports, statistics, buffers in flight: as new
    std::uint64_t count(Slot slot, Counter counter) const;

    FrameSpec inbound(std::uint16_t port) const;
    FrameSpec outbound(std::uint16_t port) const;
    DataThreadSetup setup(std::uint16_t index = 0, std::uint16_t threads = 1);
    EngineBoot boot(std::uint16_t threads);

    lvif_portmap& portmap() { return *portmap_; }
    rte_mempool* pool() { return pool_; }
    PortDescription port;

  private:
    static constexpr std::uint16_t queues = 2;
    rte_mempool* pool_ = nullptr;
    rte_ring* to_server_[queues] = {};
    rte_ring* from_server_[queues] = {};
    std::unique_ptr<lvif_portmap> portmap_;
    std::vector<std::uint64_t> statistics_;
    StatsHeader* stats_ = nullptr;
    InFlight* in_flight_ = nullptr;
    Config config_;
};

extern World* const world;

}  // namespace librettos::test
