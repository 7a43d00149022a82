// SPDX-License-Identifier: BSD-2-Clause
// Domains, interrupts and wire of a NIC.
#include "tests/nic82599/board.hpp"

#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <utility>
#include <vector>

namespace nic82599 {

Board::Board(Eeprom::Mac const& mac, unsigned vfs, ToWire to_wire) : to_wire_(std::move(to_wire)) {
    nic_.emplace(static_cast<Machine&>(*this), mac, vfs);
    ticker_.emplace([this] { nic_->run_due(); });
}

Board::~Board() {
    ticker_.reset();  // its thread calls the NIC
    for (auto const& [function, vectors] : eventfds_) {
        for (int const fd : vectors) {
            if (fd >= 0) {
                ::close(fd);
            }
        }
    }
}

void Board::attach(Function function, unsigned domain) {
    std::lock_guard const lock(mutex_);
    domains_[function] = domain;
}

int Board::map(unsigned domain, std::uint64_t address, Iommu::Memory memory, std::size_t size) {
    std::lock_guard const lock(mutex_);
    return iommu_.map(domain, address, std::move(memory), size);
}

std::size_t Board::unmap(unsigned domain, std::uint64_t address, std::size_t size) {
    auto const quiet = nic_->pause();  // the NIC may be at work in that memory
    std::lock_guard const lock(mutex_);
    return iommu_.unmap(domain, address, size);
}

void Board::end_domain(unsigned domain) {
    std::vector<Function> functions;
    {
        std::lock_guard const lock(mutex_);
        for (auto const& [function, its_domain] : domains_) {
            if (its_domain == domain) {
                functions.push_back(function);
            }
        }
    }
    for (Function const function : functions) {
        nic_->function_level_reset(function);
        for (unsigned vector = 0; vector < Nic::pf_vectors; ++vector) {
            set_interrupt(function, vector, -1);
        }
    }
    auto const quiet = nic_->pause();
    std::lock_guard const lock(mutex_);
    for (Function const function : functions) {
        domains_.erase(function);
    }
    iommu_.forget(domain);
}

void Board::set_interrupt(Function function, unsigned vector, int eventfd) {
    std::lock_guard const lock(mutex_);
    auto const [place, is_new] = eventfds_.try_emplace(function);
    if (is_new) {
        place->second.fill(-1);
    }
    int const before = std::exchange(place->second.at(vector), eventfd);
    if (before >= 0) {
        ::close(before);
    }
}

std::uint8_t* Board::dma(Function function, std::uint64_t address, std::size_t size) {
    std::lock_guard const lock(mutex_);
    auto const domain = domains_.find(function);
    return domain == domains_.end() ? nullptr : iommu_.translate(domain->second, address, size);
}

void Board::interrupt(Function function, unsigned vector) {
    std::lock_guard const lock(mutex_);
    auto const vectors = eventfds_.find(function);
    if (vectors != eventfds_.end() && vectors->second.at(vector) >= 0) {
        eventfd_write(vectors->second.at(vector), 1);
    }
}

void Board::transmit(std::span<std::uint8_t const> frame) {
    if (to_wire_) {
        to_wire_(frame);
    }
}

}  // namespace nic82599
