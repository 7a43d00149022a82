// SPDX-License-Identifier: BSD-2-Clause
#include "guest-frontend/rump/pci/pci_bus.hpp"

#include <cstdlib>
#include <exception>

#include "guest-frontend/process/say.hpp"

namespace librettos::guest {

PciBus& pci_bus() {
    static auto* const bus = [] {
        char const* const vf = std::getenv("LIBRETTOS_VF");
        return new PciBus(vf == nullptr ? "none" : vf);
    }();
    return *bus;
}

VfioFunction* PciBus::function_at(unsigned bus, unsigned device, unsigned function) {
    if (bus != 0 || device != 0 || function != 0 || !has_function()) {
        return nullptr;
    }
    std::lock_guard const lock(mutex_);
    if (!opened_) {
        opened_ = true;
        try {
            function_.emplace(pci_address_);
            memory_.show_to([this](void* memory, std::uint64_t bus_address, std::size_t bytes) {
                function_->map_for_dma(memory, bus_address, bytes);
            });
        } catch (std::exception const& error) {
            function_.reset();
            say("the rump kernel has no PCI function " + pci_address_ + ": " + error.what());
        }
    }
    return function_ ? &*function_ : nullptr;
}

bool PciBus::name_vector(unsigned handle, unsigned vector) {
    std::lock_guard const lock(mutex_);
    return function_ && vector < function_->vectors() && vectors_.emplace(handle, vector).second;
}

void* PciBus::establish(unsigned handle, int (*handler)(void*), void* argument) {
    std::lock_guard const lock(mutex_);
    auto const named = vectors_.find(handle);
    if (named == vectors_.end()) {
        return nullptr;
    }
    try {
        int const event = function_->interrupt(named->second);
        threads_.push_back(std::make_unique<InterruptThread>(event, handler, argument));
        return threads_.back().get();
    } catch (std::exception const& error) {
        say(error.what());
        return nullptr;
    }
}

VfioFunction* PciBus::driven(std::string const& pci_address) {
    std::lock_guard const lock(mutex_);
    if (!function_ || pci_address != pci_address_) {
        return nullptr;
    }
    if (threads_.empty()) {
        memory_.show_to(nullptr);
        function_.reset();
        return nullptr;
    }
    return &*function_;
}

}  // namespace librettos::guest
