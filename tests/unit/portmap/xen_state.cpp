// SPDX-License-Identifier: BSD-2-Clause
// portmap/xen's state machine for tests.
#include "tests/unit/portmap/xen_state.hpp"

#include <stdexcept>
#include <string>

extern "C" std::uint32_t portmap_random32(void) {
    return librettos::test::xen_random();
}

namespace librettos::test {

std::function<std::uint32_t()> xen_random;

XenState::XenState(Settings const& settings) {
    portmap_init(state_.get(), table_.get(), &settings);
}

void XenState::add(DomId domain, std::string_view name) {
    char text[LVIF_PORTMAP_NAME_MAX + 1] = {};
    name.copy(text, LVIF_PORTMAP_NAME_MAX);
    if (portmap_add_domain(state_.get(), domain.value, Uuid{}.data()) != 0 ||
        portmap_set_name(state_.get(), domain.value, text) != 0)
        throw std::runtime_error{"no room for domain " + std::to_string(domain.value)};
}

void XenState::remove(DomId domain, std::uint64_t now_ms, std::uint32_t budget) {
    std::uint32_t before = state_->bound;
    while (!portmap_remove_domain(state_.get(), domain.value, now_ms, budget)) {
        if (before - state_->bound > budget)
            throw std::logic_error{"more work than the budget allows"};
        before = state_->bound;
    }
}

void XenState::expire(std::uint64_t now_ms, std::uint32_t budget) {
    std::uint32_t before = state_->quarantined;
    while (!portmap_expire(state_.get(), now_ms, budget)) {
        if (before - state_->quarantined != budget)
            throw std::logic_error{"not the work that the budget allows"};
        before = state_->quarantined;
    }
}

int XenState::release(DomId domain, std::uint8_t protocol, std::uint32_t first, std::uint32_t count,
                      std::uint64_t now_ms) {
    if (protocol != LVIF_PORT_TCP_AND_UDP || first != 0 || count != 0)
        return portmap_release(state_.get(), domain.value, protocol, first, count, now_ms);
    int status = 1;
    while (status == 1)
        status = portmap_release_all(state_.get(), domain.value, now_ms, 10);
    return status;
}

}  // namespace librettos::test
