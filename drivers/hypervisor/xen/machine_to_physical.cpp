// SPDX-License-Identifier: BSD-2-Clause
// XENMEM_machphys_mfn_list says where the table is; its pages belong to DOMID_XEN and are mapped as those of any
// domain.
#include "drivers/hypervisor/xen/machine_to_physical.hpp"

#include <sys/mman.h>
#include <xen/memory.h>
#include <xen/version.h>
#include <xen/xen.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <span>
#include <string>
#include <system_error>

#include "drivers/hypervisor/xen/dom0_memory.hpp"
#include "drivers/hypervisor/xen/open_machine_addresses.hpp"
#include "drivers/hypervisor/xen/quiet_log.hpp"

namespace librettos {
namespace {

constexpr std::uint64_t entries_per_page = 4096 / sizeof(xen_pfn_t);
constexpr std::uint64_t pages_per_extent = (std::uint64_t{2} << 20) / 4096;
constexpr std::uint64_t entries_per_extent = entries_per_page * pages_per_extent;
constexpr std::size_t mapped_at_once = 512;

[[noreturn]] void fail(int error, std::string const& what) {
    throw std::system_error{error, std::system_category(), what};
}

// Pages of a domain, mapped while it lives. One that may not be mapped is left out.
class ForeignPages {
  public:
    ForeignPages(xenforeignmemory_handle* memory, std::uint32_t domain, std::span<xen_pfn_t const> frames)
        : memory_{memory}, count_{frames.size()}, errors_(frames.size()) {
        pages_ = ::xenforeignmemory_map(memory, domain, PROT_READ, count_, frames.data(), errors_.data());
        if (pages_ == nullptr)
            fail(errno, "mapping memory of domain " + std::to_string(domain));
    }
    ~ForeignPages() { ::xenforeignmemory_unmap(memory_, pages_, count_); }
    ForeignPages(ForeignPages const&) = delete;
    ForeignPages& operator=(ForeignPages const&) = delete;

    int error(std::size_t page) const { return errors_[page]; }
    std::uint64_t word(std::size_t page, std::size_t number) const {
        return reinterpret_cast<std::uint64_t const volatile*>(pages_)[page * entries_per_page + number];
    }

  private:
    xenforeignmemory_handle* memory_;
    std::size_t count_;
    std::vector<int> errors_;
    void* pages_ = nullptr;
};

// A buffer that hypercalls can read and write.
class CallBuffer {
  public:
    CallBuffer(xencall_handle* calls, std::size_t bytes)
        : calls_{calls}, memory_{::xencall_alloc_buffer(calls, bytes)} {
        if (memory_ == nullptr)
            fail(errno, "a buffer for hypercalls");
    }
    ~CallBuffer() { ::xencall_free_buffer(calls_, memory_); }
    CallBuffer(CallBuffer const&) = delete;
    CallBuffer& operator=(CallBuffer const&) = delete;
    void* get() const { return memory_; }

  private:
    xencall_handle* calls_;
    void* memory_;
};

}  // namespace

MachineToPhysical::MachineToPhysical()
    : calls_{::xencall_open(nullptr, 0), ::xencall_close},
      memory_{calls_ ? ::xenforeignmemory_open(nullptr, 0) : nullptr, ::xenforeignmemory_close} {
    if (!calls_ || !memory_)
        fail(errno, "/dev/xen/privcmd (modprobe xen-privcmd)");
    list_extents();
}

MachineToPhysical::~MachineToPhysical() = default;

void MachineToPhysical::list_extents() {
    auto const last = ::xencall2L(calls_.get(), __HYPERVISOR_memory_op, XENMEM_maximum_ram_page, 0);
    if (last < 0)
        fail(errno, "asking Xen for the machine's size");
    std::size_t const count = static_cast<std::uint64_t>(last) / entries_per_extent + 1;
    CallBuffer const starts{calls_.get(), count * sizeof(xen_pfn_t)};
    CallBuffer const argument{calls_.get(), sizeof(xen_machphys_mfn_list)};
    xen_machphys_mfn_list list{};
    list.max_extents = static_cast<unsigned>(count);
    list.extent_start = static_cast<xen_pfn_t*>(starts.get());
    std::memcpy(argument.get(), &list, sizeof list);
    if (::xencall2(calls_.get(), __HYPERVISOR_memory_op, XENMEM_machphys_mfn_list,
                   reinterpret_cast<std::uintptr_t>(argument.get())) != 0)
        fail(errno, "asking Xen for its machine-to-physical table");
    std::memcpy(&list, argument.get(), sizeof list);
    auto const* const first = static_cast<xen_pfn_t const*>(starts.get());
    extents_.assign(first, first + std::min<std::size_t>(list.nr_extents, count));
}

// The page of the table that describes this machine frame; 0: there is none.
std::uint64_t MachineToPhysical::table_page(std::uint64_t machine_frame) const {
    auto const extent = machine_frame / entries_per_extent;
    if (extent >= extents_.size() || extents_[extent] == 0)
        return 0;
    return extents_[extent] + machine_frame % entries_per_extent / entries_per_page;
}

std::vector<MachineCandidate> MachineToPhysical::candidates(std::span<std::uint64_t const> frames) {
    constexpr auto nobody = std::numeric_limits<std::uint32_t>::max();
    auto const highest = frames.empty() ? 0 : *std::max_element(frames.begin(), frames.end());
    std::vector<std::uint32_t> index(highest + 1, nobody);
    for (std::size_t i = 0; i < frames.size(); ++i)
        index[frames[i]] = static_cast<std::uint32_t>(i);
    std::vector<MachineCandidate> found;
    for (std::size_t extent = 0; extent < extents_.size(); ++extent) {
        if (extents_[extent] == 0)
            continue;
        std::vector<xen_pfn_t> pages(pages_per_extent);
        for (std::size_t i = 0; i < pages.size(); ++i)
            pages[i] = extents_[extent] + i;
        ForeignPages const table{memory_.get(), DOMID_XEN, pages};
        for (std::size_t page = 0; page < pages.size(); ++page) {
            if (int const error = table.error(page); error != 0)
                fail(-error, "mapping Xen's machine-to-physical table");
            for (std::size_t entry = 0; entry < entries_per_page; ++entry) {
                auto const frame = table.word(page, entry);
                if (frame <= highest && index[frame] != nobody)
                    found.push_back({index[frame], extent * entries_per_extent + page * entries_per_page + entry});
            }
        }
    }
    return found;
}

std::vector<std::optional<std::uint64_t>> MachineToPhysical::first_words(
    std::span<std::uint64_t const> machine_frames) {
    std::vector<std::optional<std::uint64_t>> words;
    while (words.size() < machine_frames.size()) {
        auto const part =
            machine_frames.subspan(words.size(), std::min(mapped_at_once, machine_frames.size() - words.size()));
        std::vector<xen_pfn_t> const asked(part.begin(), part.end());
        ForeignPages const pages{memory_.get(), DOMID_SELF, asked};
        for (std::size_t i = 0; i < part.size(); ++i)
            words.push_back(pages.error(i) == 0 ? std::optional{pages.word(i, 0)} : std::nullopt);
    }
    return words;
}

std::vector<std::uint64_t> MachineToPhysical::frames_at(std::span<std::uint64_t const> machine_frames) {
    std::vector<xen_pfn_t> pages;
    for (auto const frame : machine_frames) {
        if (auto const page = table_page(frame); page != 0)
            pages.push_back(page);
    }
    std::sort(pages.begin(), pages.end());
    pages.erase(std::unique(pages.begin(), pages.end()), pages.end());
    std::vector<std::uint64_t> frames(machine_frames.size(), ~std::uint64_t{0});
    for (std::size_t first = 0; first < pages.size(); first += mapped_at_once) {
        auto const part = std::span(pages).subspan(first, std::min(mapped_at_once, pages.size() - first));
        ForeignPages const table{memory_.get(), DOMID_XEN, part};
        for (std::size_t i = 0; i < frames.size(); ++i) {
            auto const at = std::lower_bound(part.begin(), part.end(), table_page(machine_frames[i]));
            auto const page = static_cast<std::size_t>(at - part.begin());
            if (at != part.end() && *at == table_page(machine_frames[i]) && table.error(page) == 0)
                frames[i] = table.word(page, machine_frames[i] % entries_per_page);
        }
    }
    return frames;
}

std::string xen_command_line() try {
    std::unique_ptr<xencall_handle, int (*)(xencall_handle*)> const calls{::xencall_open(quiet_log(), 0),
                                                                          ::xencall_close};
    if (!calls)
        return {};
    CallBuffer const buffer{calls.get(), sizeof(xen_commandline_t)};
    std::memset(buffer.get(), 0, sizeof(xen_commandline_t));
    if (::xencall2(calls.get(), __HYPERVISOR_xen_version, XENVER_commandline,
                   reinterpret_cast<std::uintptr_t>(buffer.get())) < 0)
        return {};
    auto const* const text = static_cast<char const*>(buffer.get());
    return {text, ::strnlen(text, sizeof(xen_commandline_t))};
} catch (std::system_error const&) {
    return {};
}

std::unique_ptr<MachineAddresses> open_machine_addresses() {
    return std::make_unique<MachineToPhysical>();
}

}  // namespace librettos
