// SPDX-License-Identifier: BSD-2-Clause
// The server as the portmap's authority: what the store knows of it.
#include <netinet/in.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <charconv>
#include <system_error>

#include "drivers/hypervisor/xen/server_portmap.hpp"
#include "portmap/reader.hpp"

namespace librettos {

namespace {

constexpr std::string_view version = "1";
constexpr std::size_t blocks_per_protocol = LVIF_PORTS / PortmapAuthority::block_ports;

std::optional<std::size_t> parse_number(std::string_view text, std::size_t most) {
    std::size_t number = 0;
    auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    bool const whole = error == std::errc{} && end == text.data() + text.size();
    return whole && number <= most && std::to_string(number) == text ? std::optional{number} : std::nullopt;
}

char const* directory_of(std::uint8_t protocol) {
    return protocol == IPPROTO_TCP ? "/tcp" : "/udp";
}

}  // namespace

std::string ServerPortmap::owner_path(DomId domain) const {
    return root_ + "/owner/" + std::to_string(domain.value);
}

std::string ServerPortmap::block_path(std::size_t block) const {
    return root_ + directory_of(block < blocks_per_protocol ? IPPROTO_TCP : IPPROTO_UDP) + "/" +
           std::to_string(block % blocks_per_protocol);
}

void ServerPortmap::spoiled(std::string const& path) const {
    throw std::system_error{EINVAL, std::generic_category(),
                            "portmap: " + path + " was not written by a server of this version; without " + root_ +
                                " the server starts with an empty portmap"};
}

void ServerPortmap::restore() {
    auto const found = store_->read(root_ + "/version");
    if (!found)
        store_->write(root_ + "/version", std::string{version});
    else if (*found != version)
        spoiled(root_ + "/version");
    std::map<DomId, PortOwner> owners;
    restore_owners(owners);
    restore_blocks();
    // Quarantines in the order in which they end, none longer than they are now.
    std::vector<std::pair<Time, DomId>> ends;
    Time const now = now_();
    for (auto& [domain, owner] : owners) {
        if (owner.quarantine_end == Time{0})
            continue;
        owner.quarantine_end = std::min(owner.quarantine_end, now + settings_.quarantine);
        ends.emplace_back(owner.quarantine_end, domain);
    }
    std::sort(ends.begin(), ends.end());
    owners_ = std::move(owners);
    for (auto const& [end, domain] : ends)
        authority_.remove_domain(domain, end - settings_.quarantine);
    authority_.expire(now);
    dirty_.set();
    note_changes();
    forget_owners();
}

void ServerPortmap::restore_owners(std::map<DomId, PortOwner>& owners) {
    for (auto const& entry : store_->list(root_ + "/owner")) {
        auto const path = root_ + "/owner/" + entry;
        auto const number = parse_number(entry, LVIF_PORT_OWNER_MASK);
        auto const text = store_->read(path);
        auto const owner = text ? parse_owner(*text) : std::nullopt;
        if (!number || *number == 0 || !owner)
            spoiled(path);
        DomId const domain{static_cast<std::uint16_t>(*number)};
        stored_owners_[domain] = *text;
        authority_.add_domain(domain, owner->name);
        owners.emplace(domain, *owner);
    }
}

void ServerPortmap::restore_blocks() {
    for (std::uint8_t const protocol : {IPPROTO_TCP, IPPROTO_UDP}) {
        auto const directory = root_ + directory_of(protocol);
        for (auto const& entry : store_->list(directory)) {
            auto const path = directory + "/" + entry;
            auto const block = parse_number(entry, blocks_per_protocol - 1);
            auto const text = store_->read(path);
            auto const entries = text ? parse_block(*text) : std::nullopt;
            if (!block || !entries)
                spoiled(path);
            stored_blocks_[*block + (protocol == IPPROTO_UDP ? blocks_per_protocol : 0)] = *text;
            for (std::size_t i = 0; i < entries->size(); i++)
                restore_port(protocol, static_cast<std::uint16_t>(*block * entries->size() + i), (*entries)[i]);
        }
    }
}

// A port of an owner that is not known was being freed when the last server died.
void ServerPortmap::restore_port(std::uint8_t protocol, std::uint16_t port, std::uint32_t word) {
    PortEntry const entry{word};
    if (entry.state() == LVIF_PORT_RESERVED)
        (void)authority_.reserve(protocol, port, 1, true, now_());
    else if (entry.state() != LVIF_PORT_FREE)
        (void)authority_.restore(entry.owner(), protocol, port, entry.leased(), now_());
}

// False: it could not be written, or not all of it.
bool ServerPortmap::write_claim(DomId domain, std::uint8_t protocol, std::uint32_t first, std::uint32_t count) try {
    note_changes();
    Blocks touched;
    for (std::size_t block = first / PortmapAuthority::block_ports;
         block <= (first + count - 1) / PortmapAuthority::block_ports; block++) {
        if (protocol != IPPROTO_UDP)
            touched.set(block);
        if (protocol != IPPROTO_TCP)
            touched.set(block + blocks_per_protocol);
    }
    write_owner(domain, owners_.at(domain));
    write_blocks(touched & dirty_);
    return true;
} catch (std::system_error const&) {
    return false;
}

void ServerPortmap::write_blocks(Blocks const& blocks) {
    for (std::size_t block = blocks._Find_first(); block < blocks.size(); block = blocks._Find_next(block))
        write_block(block);
}

void ServerPortmap::write_block(std::size_t block) {
    auto text = block_text(read_block(*table_, block));
    if (text != stored_blocks_[block]) {
        if (text.empty())
            store_->remove(block_path(block));
        else
            store_->write(block_path(block), text);
        stored_blocks_[block] = std::move(text);
    }
    dirty_.reset(block);
}

void ServerPortmap::write_owner(DomId domain, PortOwner const& owner) {
    auto text = owner_text(owner);
    auto const stored = stored_owners_.find(domain);
    if (stored != stored_owners_.end() && stored->second == text)
        return;
    store_->write(owner_path(domain), text);
    stored_owners_[domain] = std::move(text);
}

// Owners before blocks that name them, and away only when no block does.
bool ServerPortmap::write_some(std::size_t budget) {
    for (auto const& [domain, owner] : owners_) {
        auto const stored = stored_owners_.find(domain);
        if (stored == stored_owners_.end() || stored->second == owner_text(owner))
            continue;
        if (budget-- == 0)
            return false;
        write_owner(domain, owner);
    }
    for (std::size_t block = dirty_._Find_first(); block < dirty_.size(); block = dirty_._Find_next(block)) {
        bool const same = block_text(read_block(*table_, block)) == stored_blocks_[block];
        if (!same && budget-- == 0)
            return false;
        write_block(block);
    }
    for (auto stored = stored_owners_.begin(); stored != stored_owners_.end();) {
        if (owners_.contains(stored->first)) {
            ++stored;
            continue;
        }
        if (budget-- == 0)
            return false;
        store_->remove(owner_path(stored->first));
        stored = stored_owners_.erase(stored);
    }
    return true;
}

void ServerPortmap::write_all() {
    (void)write_some(Blocks{}.size() + 2 * (1U << 16));
}

}  // namespace librettos
