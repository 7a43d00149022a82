// SPDX-License-Identifier: BSD-2-Clause
// The hypervisor seam over a connection to librettos-hypervisord.
#include "drivers/hypervisor/local/local_hypervisor.hpp"

#include <array>
#include <cassert>
#include <cerrno>
#include <charconv>
#include <system_error>

#include "drivers/hypervisor/local/hypervisord_portmap.hpp"
#include "drivers/hypervisor/xen/server_portmap.hpp"

namespace librettos {

namespace {

constexpr std::size_t events_per_call = 256;

int check(int result, std::string const& what) {
    if (result < 0)
        throw std::system_error{-result, std::generic_category(), "hypervisord: " + what};
    return result;
}

std::string text(DomId domain) {
    return "domain " + std::to_string(domain.value);
}

// What the server writes down about ports.
class HomeStore final : public PortStore {
  public:
    explicit HomeStore(LocalHypervisor& hypervisor) : hypervisor_{hypervisor} {}
    std::optional<std::string> read(std::string const& path) override { return hypervisor_.read(path); }
    std::vector<std::string> list(std::string const& path) override { return hypervisor_.list(path); }
    void write(std::string const& path, std::string const& value) override { hypervisor_.write(path, value); }
    void remove(std::string const& path) override { hypervisor_.remove(path); }

  private:
    LocalHypervisor& hypervisor_;
};

class LocalMapping final : public Mapping {
  public:
    LocalMapping(lvif_hv* hv, DomId domain, RegionRef region, std::span<std::byte> bytes)
        : hv_{hv}, domain_{domain}, region_{region}, bytes_{bytes} {}
    LocalMapping(LocalMapping const&) = delete;
    LocalMapping& operator=(LocalMapping const&) = delete;
    ~LocalMapping() override { (void)lvif_hv_unmap(hv_, domain_.value, region_.value, bytes_.data(), bytes_.size()); }
    std::span<std::byte> bytes() const override { return bytes_; }

  private:
    lvif_hv* hv_;
    DomId domain_;
    RegionRef region_;
    std::span<std::byte> bytes_;
};

class LocalEventChannel final : public EventChannel {
  public:
    LocalEventChannel(lvif_hv* hv, EventPort port) : hv_{hv}, port_{port}, fd_{lvif_hv_event_fd(hv, port.value)} {
        assert(fd_ >= 0);
    }
    LocalEventChannel(LocalEventChannel const&) = delete;
    LocalEventChannel& operator=(LocalEventChannel const&) = delete;
    ~LocalEventChannel() override { lvif_hv_event_free(hv_, port_.value); }
    EventPort local_port() const override { return port_; }
    int fd() const override { return fd_; }
    void notify() noexcept override { lvif_hv_event_notify(hv_, port_.value); }
    void clear() noexcept override { lvif_hv_event_clear(hv_, port_.value); }

  private:
    lvif_hv* hv_;
    EventPort port_;
    int fd_;
};

}  // namespace

LocalHypervisor::LocalHypervisor(std::string const& socket_path, bool server_keeps_portmap) {
    lvif_hv* hv = nullptr;
    int const result =
        lvif_hv_connect(socket_path.empty() ? nullptr : socket_path.c_str(), LVIF_HV_SERVER, nullptr, &hv);
    check(result, "connecting as the server to " + (socket_path.empty() ? "the default socket" : socket_path) +
                      (result == -EBUSY ? ", where another librettos-netserver is (stop one of the two)"
                                        : " (is it running? systemctl start librettos-hypervisord)"));
    hv_.reset(hv);
    if (server_keeps_portmap)
        portmap_ = std::make_unique<ServerPortmap>(std::make_unique<HomeStore>(*this), self());
    else
        portmap_ = std::make_unique<HypervisordPortmap>(hv);
}

LocalHypervisor::~LocalHypervisor() = default;

DomId LocalHypervisor::self() const {
    return DomId{lvif_hv_self(hv_.get())};
}

std::vector<DomId> LocalHypervisor::domains() {
    std::vector<DomId> domains;
    for (auto const& name : list("/local/domain")) {
        std::uint16_t number = 0;  // hypervisord makes these names
        std::from_chars(name.data(), name.data() + name.size(), number);
        domains.push_back(DomId{number});
    }
    return domains;
}

bool LocalHypervisor::domain_exists(DomId domain) {
    return domain_name(domain).has_value();
}

std::optional<std::string> LocalHypervisor::domain_name(DomId domain) {
    return read("/local/domain/" + std::to_string(domain.value) + "/name");
}

void LocalHypervisor::make_device(DomId guest, std::vector<std::pair<std::string, std::string>> const&) {
    throw std::system_error{EOPNOTSUPP, std::generic_category(),
                            "making the device of " + text(guest) + ", which in local mode the guest does"};
}

std::optional<std::string> LocalHypervisor::read(std::string const& path) {
    std::array<char, LVIF_HV_VALUE_MAX + 1> value;
    int const length = lvif_hv_read(hv_.get(), path.c_str(), value.data(), value.size());
    if (length == -ENOENT)
        return std::nullopt;
    check(length, "reading " + path);
    return std::string{value.data(), static_cast<std::size_t>(length)};
}

std::vector<std::string> LocalHypervisor::list(std::string const& path) {
    std::string names(4096, '\0');
    std::size_t needed = 0;
    int count = lvif_hv_list(hv_.get(), path.c_str(), names.data(), names.size(), &needed);
    for (int tries = 0; count == -EMSGSIZE && tries < 8; tries++) {  // it may grow in between
        names.resize(needed + 4096);
        count = lvif_hv_list(hv_.get(), path.c_str(), names.data(), names.size(), &needed);
    }
    if (count == -ENOENT)
        return {};
    check(count, "listing " + path);
    std::vector<std::string> result;
    result.reserve(static_cast<std::size_t>(count));
    char const* at = names.data();
    for (int i = 0; i < count; i++) {
        result.emplace_back(at);
        at += result.back().size() + 1;
    }
    return result;
}

void LocalHypervisor::write(std::string const& path, std::string const& value) {
    check(lvif_hv_write(hv_.get(), path.c_str(), value.c_str()), "writing " + path);
}

void LocalHypervisor::remove(std::string const& path) {
    int const result = lvif_hv_remove(hv_.get(), path.c_str());
    if (result != -ENOENT)
        check(result, "removing " + path);
}

void LocalHypervisor::permit(std::string const& path, DomId owner, DomId reader) {
    check(lvif_hv_permit(hv_.get(), path.c_str(), owner.value, reader.value), "setting the rights of " + path);
}

void LocalHypervisor::watch(std::string const& path) {
    check(lvif_hv_watch(hv_.get(), path.c_str()), "watching " + path);
}

void LocalHypervisor::unwatch(std::string const& path) {
    check(lvif_hv_unwatch(hv_.get(), path.c_str()), "ending the watch of " + path);
}

std::vector<WatchEvent> LocalHypervisor::take_watch_events() {
    std::array<char, LVIF_HV_PATH_MAX + 1> watched;
    std::array<char, LVIF_HV_PATH_MAX + 1> changed;
    std::vector<WatchEvent> events;
    while (events.size() < events_per_call &&
           check(lvif_hv_take_event(hv_.get(), watched.data(), changed.data()), "taking watch events") == 1)
        events.push_back({watched.data(), changed.data()});
    return events;
}

int LocalHypervisor::watch_fd() const {
    return lvif_hv_fd(hv_.get());
}

std::unique_ptr<Mapping> LocalHypervisor::map(DomId domain, RegionRef region, std::size_t size_bytes,
                                              std::optional<LifeSign> life_sign) {
    void* address = nullptr;
    std::int64_t const offset = life_sign ? static_cast<std::int64_t>(life_sign->offset_bytes) : -1;
    std::uint32_t const port = life_sign ? life_sign->port.value : 0;
    check(lvif_hv_map(hv_.get(), domain.value, region.value, size_bytes, offset, port, &address),
          "mapping region " + std::to_string(region.value) + " of " + text(domain));
    return std::make_unique<LocalMapping>(hv_.get(), domain, region,
                                          std::span{static_cast<std::byte*>(address), size_bytes});
}

std::unique_ptr<EventChannel> LocalHypervisor::bind_event(DomId domain, EventPort guest_port) {
    std::uint32_t port = 0;
    check(lvif_hv_event_bind(hv_.get(), domain.value, guest_port.value, &port),
          "binding event port " + std::to_string(guest_port.value) + " of " + text(domain));
    return std::make_unique<LocalEventChannel>(hv_.get(), EventPort{port});
}

lvif_hv_totals LocalHypervisor::totals() {
    lvif_hv_totals totals{};
    check(lvif_hv_statistics(hv_.get(), &totals), "statistics");
    return totals;
}

std::unique_ptr<Hypervisor> make_local_hypervisor(std::string const& socket_path) {
    return std::make_unique<LocalHypervisor>(socket_path);
}

}  // namespace librettos
