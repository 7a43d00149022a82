// SPDX-License-Identifier: BSD-2-Clause
// Builds the data thread as the data plane does and gives it the guests.
#include "tests/bench/server_side.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <system_error>

namespace librettos::bench {
namespace {

constexpr unsigned turns_per_housekeeping = 32;

MacAddress mac_of(std::uint8_t const (&bytes)[6]) {
    MacAddress mac;
    std::memcpy(mac.bytes.data(), bytes, sizeof bytes);
    return mac;
}

Ipv4Address ipv4_of(std::uint8_t const (&bytes)[4]) {
    Ipv4Address address;
    std::memcpy(&address.be, bytes, sizeof bytes);
    return address;
}

}  // namespace

// The local mode's cost: a system call each way. Guests here poll, so the server rings for nobody.
class ServerSide::Doorbell final : public EventChannel {
  public:
    Doorbell(std::uint16_t number, int from_guest_fd)
        : number_(number), from_guest_fd_(from_guest_fd), to_guest_fd_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
        if (to_guest_fd_ < 0) {
            throw std::system_error(errno, std::generic_category(), "make a doorbell");
        }
    }
    ~Doorbell() override { close(to_guest_fd_); }
    EventPort local_port() const override { return {number_}; }
    int fd() const override { return from_guest_fd_; }
    void notify() noexcept override {
        std::uint64_t const one = 1;
        [[maybe_unused]] auto const written = write(to_guest_fd_, &one, sizeof one);
    }
    void clear() noexcept override {
        std::uint64_t ignored = 0;
        [[maybe_unused]] auto const got = read(from_guest_fd_, &ignored, sizeof ignored);
    }

  private:
    std::uint16_t number_;
    int from_guest_fd_;
    int to_guest_fd_;
};

NetworkIdentity network_identity() {
    NetworkIdentity network;
    network.mac = mac_of(server_mac);
    network.ipv4 = ipv4_of(server_ipv4);
    network.ipv4_broadcast = ipv4_of({10, 77, 0, 255});
    network.mtu_bytes = 9000;
    return network;
}

ServerSide::ServerSide(Traffic const& traffic, std::span<std::unique_ptr<GuestDevice> const> guests,
                       std::uint16_t port_id, rte_mempool* pool)
    : in_flight_(std::make_unique<InFlight>()),
      stats_(std::make_unique<ThreadStats>()),
      cells_(max_slots * counter_count),
      acknowledge_fd_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
    port_.port_id = port_id;
    port_.mtu_bytes = 9000;
    NetworkIdentity const network = network_identity();
    DataThreadSetup setup;
    setup.port = &port_;
    setup.pool = pool;
    setup.in_flight = in_flight_.get();
    setup.stats = stats_.get();
    setup.cells = cells_.data();
    thread_ = std::make_unique<DataThread>(setup, network, traffic.portmap(), acknowledge_fd_);

    for (auto const& device : guests) {
        auto const slot = static_cast<Slot>(guests_.size() + 1);
        auto guest = std::make_unique<Guest>();
        guest->slot = slot;
        guest->identity = {DomId{device->domain()}, GuestMode::shared, network.mac, network.ipv4, network.ipv6};
        auto const capacity = static_cast<std::uint32_t>(device->tx_ring().size() - LVIF_PAGE_BYTES);
        auto const consumer = RingConsumer::adopt(device->tx_ring(), capacity);
        auto const producer = RingProducer::adopt(device->rx_ring(), capacity);
        if (!consumer || !producer)
            throw std::runtime_error("a fresh ring is refused");
        doorbells_.push_back(std::make_unique<Doorbell>(slot, device->doorbell_fd()));
        guest->queues.emplace_back(*guest, *consumer, *producer, doorbells_.back().get(), std::uint16_t{0});
        thread_->commands.push({DataCommand::Kind::add, slot, guest.get(), nullptr});
        guests_.push_back(std::move(guest));
    }
    thread_->housekeeping();
}

ServerSide::~ServerSide() {
    thread_.reset();
    close(acknowledge_fd_);
}

void ServerSide::turns() {
    for (unsigned i = 0; i < turns_per_housekeeping; ++i)
        thread_->turn();
    thread_->housekeeping();
}

std::uint64_t ServerSide::total(Counter counter) const {
    std::uint64_t sum = 0;
    for (std::size_t slot = 0; slot <= guests_.size(); ++slot)
        sum += __atomic_load_n(&cells_[slot * counter_count + static_cast<std::size_t>(counter)], __ATOMIC_RELAXED);
    return sum;
}

std::uint64_t ServerSide::drops() const {
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < counter_count; ++i)
        if (counter_texts[i].name.starts_with("drop_"))
            sum += total(static_cast<Counter>(i));
    return sum;
}

}  // namespace librettos::bench
