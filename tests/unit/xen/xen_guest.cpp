// SPDX-License-Identifier: BSD-2-Clause
// A guest on the fake machine.
#include "tests/unit/xen/xen_guest.hpp"

namespace librettos::test {

namespace {

FakeXen& xen() {
    return FakeXen::machine();
}

}  // namespace

XenGuest::XenGuest(std::string const& name) : domain{xen().create_domain(name)} {
}

SharedRegion XenGuest::share(std::size_t size_bytes) {
    SharedRegion region;
    auto const pages = static_cast<std::uint32_t>(size_bytes / LVIF_PAGE_BYTES);
    for (std::uint32_t i = 0; i < pages; ++i)
        region.pages.push_back(xen().allocate_page());
    for (std::uint32_t i = 0; i < lvif_directory_pages(pages); ++i)
        region.directories.push_back(xen().allocate_page());
    std::uint32_t next = 0;
    for (std::size_t index = region.directories.size(); index-- > 0;) {
        auto& page = directory(region, index);
        auto const first = index * LVIF_GRANTS_PER_DIRECTORY;
        page.magic = LVIF_DIRECTORY_MAGIC;
        page.version = LVIF_DIRECTORY_VERSION;
        page.count = lvif_directory_count(pages, static_cast<std::uint32_t>(index));
        page.next = next;
        for (std::uint32_t i = 0; i < page.count; ++i)
            page.grant[i] = xen().grant(domain.value, region.pages[first + i]);
        next = xen().grant(domain.value, region.directories[index], true);
    }
    region.reference = next;
    return region;
}

lvif_grant_directory& XenGuest::directory(SharedRegion const& region, std::size_t index) const {
    return *reinterpret_cast<lvif_grant_directory*>(xen().page(region.directories[index]));
}

void XenGuest::prepare() {
    constexpr std::size_t ring_bytes = LVIF_RING_MIN_CAPACITY;
    set(LVIF_KEY_QUEUES, "1");
    set(LVIF_KEY_RING_BYTES, std::to_string(ring_bytes));
    for (char const* const key : {LVIF_KEY_CONTROL_TO_SERVER, LVIF_KEY_CONTROL_TO_GUEST}) {
        auto const region = share(LVIF_PAGE_BYTES);
        auto& control = *reinterpret_cast<lvif_control_ring*>(xen().page(region.pages.front()));
        control.magic = LVIF_CONTROL_MAGIC;
        control.version = LVIF_CONTROL_VERSION;
        set(key, std::to_string(region.reference));
    }
    set(LVIF_KEY_CONTROL_EVENT, std::to_string(xen().allocate_event(domain.value)));
    tx_ = share(LVIF_PAGE_BYTES + ring_bytes);
    rx_ = share(LVIF_PAGE_BYTES + ring_bytes);
    for (bool const tx : {true, false}) {
        ring(tx).magic = LVIF_RING_MAGIC;
        ring(tx).version = LVIF_RING_VERSION;
        ring(tx).capacity = ring_bytes;
    }
    set("queue-0/" LVIF_KEY_TX_RING, std::to_string(tx_.reference));
    set("queue-0/" LVIF_KEY_RX_RING, std::to_string(rx_.reference));
    set("queue-0/" LVIF_KEY_EVENT, std::to_string(xen().allocate_event(domain.value)));
}

void XenGuest::set(std::string const& key, std::string const& value) const {
    xen().set_node(frontend() + "/" + key, value);
}

int XenGuest::server_state() const {
    auto const text = offered(LVIF_KEY_STATE);
    return text.empty() ? 0 : std::stoi(text);
}

std::string XenGuest::offered(std::string const& key) const {
    return xen().value(backend() + "/" + key);
}

lvif_ring_header& XenGuest::ring(bool tx) const {
    return *reinterpret_cast<lvif_ring_header*>(xen().page((tx ? tx_ : rx_).pages.front()));
}

std::uint64_t XenGuest::notifications() const {
    std::uint64_t sum = 0;
    for (auto const& [at, end] : xen().events) {
        if (at.first == domain.value)
            sum += end.received;
    }
    return sum;
}

void XenGuest::destroy() const {
    xen().destroy_domain(domain.value);
}

std::string XenGuest::frontend() const {
    return "/local/domain/" + std::to_string(domain.value) + "/device/lvif/0";
}

std::string XenGuest::backend() const {
    return "/local/domain/" + std::to_string(xen().server) + "/backend/lvif/" + std::to_string(domain.value) + "/0";
}

}  // namespace librettos::test
