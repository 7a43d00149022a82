// SPDX-License-Identifier: BSD-2-Clause
// The hypervisor as the server sees it: a store with watches, regions of guest memory, event
// channels, the portmap. Implemented by local/ (librettos-hypervisord) and xen/.
//
// One thread, the engine's control thread, makes all calls; only an EventChannel's notify() and the bytes of a
// Mapping are for other threads. The environment's failures are thrown as std::system_error that says what was tried;
// what a guest can cause (a region reference that names nothing) is a system_error too, with EINVAL, ENOENT,
// EACCES or EPERM, and is caught per guest event.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <librettos/portmap.h>

#include "portmap/domain_id.hpp"

namespace librettos {

struct RegionRef {
    std::uint32_t value = 0;
    friend auto operator<=>(RegionRef, RegionRef) = default;
};

struct EventPort {
    std::uint32_t value = 0;
    friend auto operator<=>(EventPort, EventPort) = default;
};

// Guest memory, mapped read-write while the object lives. The guest may change any byte at any time.
class Mapping {
  public:
    virtual ~Mapping() = default;
    virtual std::span<std::byte> bytes() const = 0;
};

// The server's end of an event channel while the object lives.
class EventChannel {
  public:
    virtual ~EventChannel() = default;
    virtual EventPort local_port() const = 0;
    // Polled for input; stays readable until clear().
    virtual int fd() const = 0;
    // Any thread; never blocks, whatever the guest does; never fails visibly.
    virtual void notify() noexcept = 0;
    // Takes all pending notifications with a bounded amount of work.
    virtual void clear() noexcept = 0;
};

struct WatchEvent {
    std::string watched;  // the path given to watch()
    std::string changed;  // at or below it
};

struct PortInfo {
    std::uint32_t entry = 0;  // as in the table, librettos/portmap.h
    std::uint32_t age_s = 0;
    std::uint32_t quarantine_left_s = 0;
    std::uint32_t owner_ports = 0;
    std::uint32_t owner_limit = 0;
    std::string owner_name;
};

// When the mapping goes, for whatever reason, the hypervisor writes 0 to this byte and notifies the port.
struct LifeSign {
    std::size_t offset_bytes;
    EventPort port;
};

class ServerPorts;  // server_ports.hpp

class Hypervisor {
  public:
    virtual ~Hypervisor() = default;

    virtual DomId self() const = 0;
    virtual std::string_view name() const = 0;               // "local" or "xen", for status
    virtual std::string_view portmap_authority() const = 0;  // "hypervisor" or "server"

    // domains
    virtual std::vector<DomId> domains() = 0;      // that this one may know of
    virtual bool domain_exists(DomId domain) = 0;  // in a driver domain: and has its device
    virtual std::optional<std::string> domain_name(DomId domain) = 0;
    // Who makes a guest's device, both directories of librettos/handshake.h: the host (Xen), or the guest its own and
    // the server the other (local).
    virtual bool makes_devices() const = 0;
    // Makes both at once or neither, with each side's `state` Initialising, and writes the keys to the backend
    // directory. ENOENT: no such domain; EEXIST: it has the device; EOPNOTSUPP: guests make theirs.
    virtual void make_device(DomId guest, std::vector<std::pair<std::string, std::string>> const& backend_keys) = 0;

    // store
    virtual std::optional<std::string> read(std::string const& path) = 0;
    virtual std::vector<std::string> list(std::string const& path) = 0;  // empty when there is no such path
    virtual void write(std::string const& path, std::string const& value) = 0;
    virtual void remove(std::string const& path) = 0;  // with all below; no error when there is none
    // The owner may write, `reader` may read, at `path` and below; creates the path when needed.
    virtual void permit(std::string const& path, DomId owner, DomId reader) = 0;
    // Fires once at once. "/local/domain": when a domain appears or goes, and when a device's state changes.
    virtual void watch(std::string const& path) = 0;
    virtual void unwatch(std::string const& path) = 0;
    virtual std::vector<WatchEvent>
    take_watch_events() = 0;  // what is there, bounded; throws when the hypervisor is gone
    virtual int watch_fd() const = 0;

    // memory and events
    virtual std::unique_ptr<Mapping> map(DomId domain, RegionRef region, std::size_t size_bytes,
                                         std::optional<LifeSign> life_sign) = 0;
    virtual std::unique_ptr<EventChannel> bind_event(DomId domain, EventPort guest_port) = 0;

    // portmap
    virtual lvif_portmap const& portmap() = 0;  // read-only mapping, valid while this object lives
    virtual PortInfo query_port(std::uint8_t protocol, std::uint16_t port) = 0;
    virtual void set_port_limit(DomId domain, std::uint32_t ports) = 0;
    virtual void reserve_ports(std::uint8_t protocol, std::uint16_t first, std::uint16_t count, bool reserve) = 0;
    // Null: guests ask the hypervisor. Valid while this object lives.
    virtual ServerPorts* server_ports() { return nullptr; }
};

}  // namespace librettos
