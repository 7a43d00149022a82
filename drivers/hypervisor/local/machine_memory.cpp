// SPDX-License-Identifier: BSD-2-Clause
// The machine: shared memory and event channels. hypervisord_protocol.h says why they are built like this.
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <cerrno>

#include "drivers/hypervisor/local/machine.hpp"

namespace librettos {

namespace {

Reply refused(int status) {
    Reply reply;
    reply.status = status;
    return reply;
}

// Replies own what they send: the original may be closed before the reply has left.
UniqueFd duplicate(UniqueFd const& fd) {
    return UniqueFd{::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0)};
}

// A memfd of ordinary pages (not of huge ones: their pool may run dry under the mapper's feet), open for reading and
// writing, of this size for ever, writable for ever.
bool is_proper_memory(UniqueFd const& fd, std::uint64_t bytes) {
    int const wanted = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
    int const unwanted = F_SEAL_WRITE | F_SEAL_FUTURE_WRITE;
    int const seals = ::fcntl(fd.get(), F_GET_SEALS);
    int const flags = ::fcntl(fd.get(), F_GETFL);
    struct stat status;
    struct statfs filesystem;
    return seals >= 0 && (seals & wanted) == wanted && (seals & unwanted) == 0 && flags >= 0 &&
           (flags & O_ACCMODE) == O_RDWR && ::fstat(fd.get(), &status) == 0 && S_ISREG(status.st_mode) &&
           static_cast<std::uint64_t>(status.st_size) == bytes && ::fstatfs(fd.get(), &filesystem) == 0 &&
           filesystem.f_type == TMPFS_MAGIC;
}

template <typename Channels, typename Channel>
std::optional<std::uint32_t> place(Channels& channels, Channel const& channel, std::size_t ports_max) {
    for (std::uint32_t port = 1; port < channels.size(); port++) {
        if (!channels[port]) {
            channels[port] = channel;
            return port;
        }
    }
    if (channels.size() > ports_max)
        return std::nullopt;
    channels.push_back(channel);
    return static_cast<std::uint32_t>(channels.size() - 1);
}

constexpr std::size_t server_ports_max = 65535;

}  // namespace

void Machine::Channel::notify_guest() const {
    char const one = 1;
    // Full: the guest has something to wake up for already. Gone: it does not care.
    (void)!::send(to_guest.get(), &one, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

bool Machine::descriptors_left(std::uint32_t wanted) const {
    return regions_ + 2 * channels_ + wanted <= settings_.descriptors_max;
}

Machine::Region* Machine::find_region(std::uint64_t domain, std::uint64_t region) {
    Guest* guest = find_guest(domain);
    if (guest == nullptr || region > UINT32_MAX)
        return nullptr;
    auto const found = guest->regions.find(static_cast<std::uint32_t>(region));
    return found == guest->regions.end() ? nullptr : &found->second;
}

Reply Machine::share(Peer const& peer, Request& request) {
    Guest& guest = guests_.at(peer.domain.value);
    std::uint64_t const bytes = request.argument[0];
    std::uint64_t const domain = request.argument[1];
    if (domain != 0 && find_guest(domain) == nullptr)
        return refused(-ENOENT);
    if (bytes == 0 || bytes > LVIF_HVP_REGION_BYTES_MAX || !is_proper_memory(request.fd, bytes))
        return refused(-EINVAL);
    if (guest.regions.size() >= regions_per_guest_max)
        return refused(-ENOSPC);
    if (!descriptors_left(1))
        return refused(-ENFILE);
    do
        guest.last_region++;
    while (guest.last_region == 0 || guest.regions.contains(guest.last_region));
    Region& region = guest.regions[guest.last_region];
    region.memory = std::move(request.fd);
    region.bytes = bytes;
    region.for_domain = DomId{static_cast<std::uint16_t>(domain)};
    regions_++;
    Reply reply;
    reply.result[0] = guest.last_region;
    return reply;
}

int Machine::unshare(Peer const& peer, std::uint64_t number) {
    Region const* region = find_region(peer.domain.value, number);
    if (region == nullptr)
        return -ENOENT;
    if (region->mapped)
        return -EBUSY;
    guests_.at(peer.domain.value).regions.erase(static_cast<std::uint32_t>(number));
    regions_--;
    return 0;
}

Reply Machine::map(Request const& request) {
    auto const [domain, number, bytes, offset, port] = request.argument;
    Region* region = find_region(domain, number);
    if (region == nullptr)
        return refused(-ENOENT);
    if (region->for_domain != server_->domain)
        return refused(-EACCES);
    if (region->mapped)
        return refused(-EBUSY);
    std::optional<LifeSign> life_sign;
    if (offset != LVIF_HVP_NO_LIFE_SIGN) {
        bool const is_bound = port < server_channels_.size() && server_channels_[port];
        if (offset >= region->bytes || !is_bound)
            return refused(-EINVAL);
        life_sign = LifeSign{offset, server_channels_[port]};
    }
    if (bytes != region->bytes)
        return refused(-EINVAL);
    Reply reply;
    reply.fds.push_back(duplicate(region->memory));
    if (!reply.fds.front())
        return refused(-ENFILE);
    region->mapped = true;
    region->life_sign = std::move(life_sign);
    mappings_++;
    return reply;
}

int Machine::unmap(std::uint64_t domain, std::uint64_t number) {
    Region* region = find_region(domain, number);
    if (region == nullptr || !region->mapped)
        return -ENOENT;
    end_mapping(*region);
    return 0;
}

void Machine::end_mapping(Region& region) {
    region.mapped = false;
    mappings_--;
    if (!region.life_sign)
        return;
    LifeSign const sign = *std::exchange(region.life_sign, std::nullopt);
    char const zero = 0;
    // Fails only when memory is out; the notification makes the guest look all the same.
    (void)!::pwrite(region.memory.get(), &zero, 1, static_cast<off_t>(sign.offset));
    sign.channel->notify_guest();
}

Reply Machine::allocate(Peer const& peer, std::uint64_t for_domain) {
    Guest& guest = guests_.at(peer.domain.value);
    if (for_domain != 0 && find_guest(for_domain) == nullptr)
        return refused(-ENOENT);
    if (!descriptors_left(2))
        return refused(-ENFILE);
    int ends[2];
    auto channel = std::make_shared<Channel>();
    channel->for_domain = DomId{static_cast<std::uint16_t>(for_domain)};
    channel->to_server = UniqueFd{::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
    if (!channel->to_server || ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0)
        return refused(-ENFILE);
    channel->to_guest = UniqueFd{ends[0]};
    UniqueFd guest_end{ends[1]};
    Reply reply;
    reply.fds.push_back(std::move(guest_end));
    reply.fds.push_back(duplicate(channel->to_server));
    if (!reply.fds.back() || ::shutdown(channel->to_guest.get(), SHUT_RD) != 0)
        return refused(-ENFILE);
    std::optional<std::uint32_t> const port = place(guest.channels, channel, channels_per_guest_max);
    if (!port)
        return refused(-ENOSPC);
    channels_++;
    reply.result[0] = *port;
    return reply;
}

Reply Machine::bind(Request const& request) {
    Guest* guest = find_guest(request.argument[0]);
    std::uint64_t const guest_port = request.argument[1];
    if (guest == nullptr || guest_port >= guest->channels.size() || !guest->channels[guest_port])
        return refused(-ENOENT);
    ChannelPtr const channel = guest->channels[guest_port];
    if (channel->for_domain != server_->domain)
        return refused(-EACCES);
    if (channel->bound != 0)
        return refused(-EBUSY);
    Reply reply;
    reply.fds.push_back(duplicate(channel->to_server));
    reply.fds.push_back(duplicate(channel->to_guest));
    if (!reply.fds[0] || !reply.fds[1])
        return refused(-ENFILE);
    std::optional<std::uint32_t> const port = place(server_channels_, channel, server_ports_max);
    if (!port)
        return refused(-ENOSPC);
    channel->bound = *port;
    bound_channels_++;
    reply.result[0] = *port;
    return reply;
}

int Machine::free_port(Peer const& peer, std::uint64_t port) {
    if (peer.role == LVIF_HV_SERVER) {
        if (port >= server_channels_.size() || !server_channels_[port])
            return -ENOENT;
        unbind(static_cast<std::uint32_t>(port));
        return 0;
    }
    Guest* guest = find_guest(peer.domain.value);
    if (guest == nullptr || port >= guest->channels.size() || !guest->channels[port])
        return -ENOENT;
    guest->channels[port].reset();
    channels_--;
    return 0;
}

void Machine::unbind(std::uint32_t port) {
    server_channels_[port]->bound = 0;
    server_channels_[port].reset();
    bound_channels_--;
}

// The server's connection is gone, and with it its mappings and its ends of the channels.
void Machine::end_server() {
    for (auto& [id, guest] : guests_)
        for (auto& [number, region] : guest.regions)
            if (region.mapped)
                end_mapping(region);
    for (std::uint32_t port = 1; port < server_channels_.size(); port++)
        if (server_channels_[port])
            unbind(port);
    server_channels_.resize(1);
    server_channels_.shrink_to_fit();
    server_ = nullptr;
}

}  // namespace librettos
