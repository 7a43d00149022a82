// SPDX-License-Identifier: BSD-2-Clause
// The small world's workings.
#include "tests/unit/control/world.hpp"

#include <librettos/handshake.h>
#include <netinet/in.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace librettos::test {

namespace {

bool below(std::string const& path, std::string const& top) {
    return path == top || path.starts_with(top + "/");
}

[[noreturn]] void fail(int error, std::string const& what) {
    throw std::system_error(error, std::generic_category(), what);
}

void raise_fd(int fd) {
    std::uint64_t const one = 1;
    if (::write(fd, &one, sizeof one) != sizeof one)
        fail(errno, "eventfd");
}

void clear_fd(int fd) {
    std::uint64_t value;
    if (::read(fd, &value, sizeof value) != sizeof value && errno != EAGAIN)
        fail(errno, "eventfd");
}

class FakeMapping final : public Mapping {
  public:
    FakeMapping(World& world, std::shared_ptr<Region> region, std::optional<LifeSign> life_sign)
        : world_(world), region_(std::move(region)), life_sign_(life_sign) {
        ++world_.mappings;
    }
    ~FakeMapping() override {
        --world_.mappings;
        world_.unmapped_in_use += world_.in_use.contains(region_->bytes().data());
        if (life_sign_)
            region_->bytes()[life_sign_->offset_bytes] = std::byte{0};
    }
    std::span<std::byte> bytes() const override { return region_->bytes(); }

  private:
    World& world_;
    std::shared_ptr<Region> region_;
    std::optional<LifeSign> life_sign_;
};

class FakeChannel final : public EventChannel {
  public:
    FakeChannel(World& world, std::shared_ptr<Channel> channel, std::uint32_t port)
        : world_(world), channel_(std::move(channel)), port_(port) {
        ++world_.bound_channels;
        channel_->bound = true;
    }
    ~FakeChannel() override {
        --world_.bound_channels;
        channel_->bound = false;
    }
    EventPort local_port() const override { return {port_ + 10000}; }
    int fd() const override { return channel_->server_fd; }
    void notify() noexcept override { ++channel_->to_guest; }
    void clear() noexcept override { clear_fd(channel_->server_fd); }

  private:
    World& world_;
    std::shared_ptr<Channel> channel_;
    std::uint32_t port_;
};

}  // namespace

Channel::Channel() : server_fd(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
}
Channel::~Channel() {
    close(server_fd);
}

World::World() : portmap(std::make_unique<lvif_portmap>()), watch_fd(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
}
World::~World() {
    close(watch_fd);
}

DomId World::create_domain(std::string const& name) {
    DomId const domain{next_domain_++};
    domains[domain] = name;
    store["/local/domain/" + std::to_string(domain.value) + "/name"] = name;
    changed("/local/domain");
    return domain;
}

void World::destroy_domain(DomId domain) {
    domains.erase(domain);
    std::erase_if(regions, [&](auto const& each) { return each.first.first == domain; });
    std::erase_if(channels, [&](auto const& each) { return each.first.first == domain; });
    auto const home = "/local/domain/" + std::to_string(domain.value);
    std::erase_if(store, [&](auto const& each) { return below(each.first, home); });
    changed("/local/domain");
}

std::uint32_t World::share(DomId domain, std::size_t bytes) {
    auto region = std::make_shared<Region>();
    region->pages.resize(bytes / sizeof(Region::Page));
    regions[{domain, next_reference_}] = region;
    return next_reference_++;
}

std::uint32_t World::allocate_event(DomId domain) {
    channels[{domain, next_reference_}] = std::make_shared<Channel>();
    return next_reference_++;
}

void World::write(std::string const& path, std::string const& value) {
    store[path] = value;
    changed(path);
}

void World::remove(std::string const& path) {
    if (std::erase_if(store, [&](auto const& each) { return below(each.first, path); }) > 0)
        changed(path);
}

std::string World::read(std::string const& path) const {
    auto const found = store.find(path);
    return found == store.end() ? "" : found->second;
}

bool World::has(std::string const& path) const {
    auto const found = store.lower_bound(path);
    return found != store.end() && below(found->first, path);
}

void World::changed(std::string const& path) {
    for (auto const& watched : watches) {
        if (below(path, watched)) {
            events.push_back({watched, path});
            raise_fd(watch_fd);
        }
    }
}

void World::set_port(std::uint8_t protocol, std::uint16_t port, std::uint32_t entry) {
    (protocol == IPPROTO_TCP ? portmap->tcp : portmap->udp)[port] = entry;
}

void World::fail_call(std::uint64_t n, int error) {
    fail_at_ = n == 0 ? 0 : calls + n;
    fail_error_ = error;
}

void World::fail_sometimes(double probability, std::uint32_t seed) {
    probability_ = probability;
    fail_error_ = EIO;
    random_.seed(seed);
}

void World::no_faults() {
    fail_at_ = 0;
    probability_ = 0;
}

void World::call(char const* what) {
    ++calls;
    if (lost)
        fail(ECONNRESET, what);
    bool const drawn = probability_ > 0 && std::generate_canonical<double, 32>(random_) < probability_;
    if (calls != fail_at_ && !drawn)
        return;
    ++faults;
    fail(fail_error_, what);
}

std::vector<DomId> FakeHypervisor::domains() {
    world_.call("domains");
    std::vector<DomId> domains{server_domain};
    for (auto const& [domain, name] : world_.domains)
        domains.push_back(domain);
    return domains;
}

bool FakeHypervisor::domain_exists(DomId domain) {
    world_.call("domain_exists");
    return domain == server_domain || world_.domains.contains(domain);
}

std::optional<std::string> FakeHypervisor::domain_name(DomId domain) {
    return read("/local/domain/" + std::to_string(domain.value) + "/name");
}

void FakeHypervisor::make_device(DomId guest, std::vector<std::pair<std::string, std::string>> const& backend_keys) {
    world_.call("make_device");
    auto const home = "/local/domain/" + std::to_string(guest.value);
    auto const frontend = home + "/device/" LVIF_DEVICE_CLASS "/0/";
    auto const backend = "/local/domain/" + std::to_string(server_domain.value) + "/backend/" LVIF_DEVICE_CLASS "/" +
                         std::to_string(guest.value) + "/0/";
    if (!world_.host_makes_devices || !world_.domains.contains(guest) || world_.store.contains(frontend + "state"))
        throw std::system_error(!world_.host_makes_devices        ? EOPNOTSUPP
                                : !world_.domains.contains(guest) ? ENOENT
                                                                  : EEXIST,
                                std::generic_category(), "make_device");
    for (auto const& [key, value] : backend_keys)
        world_.write(backend + key, value);
    world_.write(backend + LVIF_KEY_FRONTEND, home + "/device/" LVIF_DEVICE_CLASS "/0");
    world_.write(backend + LVIF_KEY_FRONTEND_ID, std::to_string(guest.value));
    world_.write(backend + LVIF_KEY_STATE, "1");
    world_.write(frontend + LVIF_KEY_BACKEND, backend.substr(0, backend.size() - 1));
    world_.write(frontend + LVIF_KEY_BACKEND_ID, std::to_string(server_domain.value));
    world_.write(frontend + LVIF_KEY_STATE, "1");
}

std::optional<std::string> FakeHypervisor::read(std::string const& path) {
    world_.call("read");
    auto const found = world_.store.find(path);
    return found == world_.store.end() ? std::nullopt : std::optional(found->second);
}

std::vector<std::string> FakeHypervisor::list(std::string const& path) {
    world_.call("list");
    std::set<std::string> names;
    for (auto at = world_.store.lower_bound(path + "/"); at != world_.store.end() && at->first.starts_with(path + "/");
         ++at) {
        auto const rest = at->first.substr(path.size() + 1);
        names.insert(rest.substr(0, rest.find('/')));
    }
    return {names.begin(), names.end()};
}

void FakeHypervisor::write(std::string const& path, std::string const& value) {
    world_.call("write");
    world_.write(path, value);
}

void FakeHypervisor::remove(std::string const& path) {
    world_.call("remove");
    world_.remove(path);
    std::string const backends = "/local/domain/" + std::to_string(server_domain.value) + "/backend/lvif/";
    if (world_.host_makes_devices && path.starts_with(backends))  // the end of a device
        world_.changed("/local/domain/" + path.substr(backends.size()));
}

void FakeHypervisor::permit(std::string const& path, DomId, DomId reader) {
    world_.call("permit");
    world_.readers[reader] = path;
}

void FakeHypervisor::watch(std::string const& path) {
    world_.call("watch");
    world_.watches.insert(path);
    world_.changed(path);
}

void FakeHypervisor::unwatch(std::string const& path) {
    world_.watches.erase(path);
}

std::vector<WatchEvent> FakeHypervisor::take_watch_events() {
    if (world_.lost)
        fail(ECONNRESET, "hypervisor");
    clear_fd(world_.watch_fd);
    std::vector<WatchEvent> taken;
    while (!world_.events.empty() && taken.size() < 64) {
        taken.push_back(world_.events.front());
        world_.events.pop_front();
    }
    if (!world_.events.empty())
        raise_fd(world_.watch_fd);
    return taken;
}

std::unique_ptr<Mapping> FakeHypervisor::map(DomId domain, RegionRef region, std::size_t size_bytes,
                                             std::optional<LifeSign> life_sign) {
    world_.call("map");
    auto const found = world_.regions.find({domain, region.value});
    if (found == world_.regions.end())
        fail(ENOENT, "map region " + std::to_string(region.value));
    if (found->second->bytes().size() != size_bytes)
        fail(EINVAL, "map region " + std::to_string(region.value));
    return std::make_unique<FakeMapping>(world_, found->second, life_sign);
}

std::unique_ptr<EventChannel> FakeHypervisor::bind_event(DomId domain, EventPort guest_port) {
    world_.call("bind_event");
    auto const found = world_.channels.find({domain, guest_port.value});
    if (found == world_.channels.end())
        fail(ENOENT, "bind event " + std::to_string(guest_port.value));
    if (found->second->bound)
        fail(EINVAL, "bind event " + std::to_string(guest_port.value));
    return std::make_unique<FakeChannel>(world_, found->second, guest_port.value);
}

PortInfo FakeHypervisor::query_port(std::uint8_t protocol, std::uint16_t port) {
    world_.call("query_port");
    auto info = world_.port_info[std::uint32_t{protocol} << 16 | port];
    info.entry = (protocol == IPPROTO_TCP ? world_.portmap->tcp : world_.portmap->udp)[port];
    return info;
}

void FakeHypervisor::set_port_limit(DomId domain, std::uint32_t ports) {
    world_.call("set_port_limit");
    if (world_.server_ports)
        world_.server_ports->set_limit(domain, ports);
    world_.port_limits[domain] = ports;
}

}  // namespace librettos::test
