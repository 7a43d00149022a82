// SPDX-License-Identifier: BSD-2-Clause
// The form of each request.
#include "drivers/hypervisor/local/request.hpp"

#include <algorithm>
#include <cstring>

namespace librettos {

namespace {

struct Form {
    lvif_hvp_operation operation;
    std::uint8_t arguments;
    std::uint8_t texts;
    std::uint8_t fds;
    Privilege privilege;
};

constexpr std::array<Form, LVIF_HVP_OPERATIONS - 1> forms{{
    {LVIF_HVP_HELLO, 1, 1, 0, Privilege::any},
    {LVIF_HVP_READ, 0, 1, 0, Privilege::any},
    {LVIF_HVP_WRITE, 0, 2, 0, Privilege::any},
    {LVIF_HVP_REMOVE, 0, 1, 0, Privilege::any},
    {LVIF_HVP_LIST, 0, 2, 0, Privilege::any},
    {LVIF_HVP_PERMIT, 2, 1, 0, Privilege::control},
    {LVIF_HVP_WATCH, 0, 1, 0, Privilege::any},
    {LVIF_HVP_UNWATCH, 0, 1, 0, Privilege::any},
    {LVIF_HVP_SHARE, 2, 0, 1, Privilege::guest},
    {LVIF_HVP_UNSHARE, 1, 0, 0, Privilege::guest},
    {LVIF_HVP_MAP, 5, 0, 0, Privilege::server},
    {LVIF_HVP_UNMAP, 2, 0, 0, Privilege::server},
    {LVIF_HVP_ALLOCATE, 1, 0, 0, Privilege::guest},
    {LVIF_HVP_BIND, 2, 0, 0, Privilege::server},
    {LVIF_HVP_FREE, 1, 0, 0, Privilege::any},
    {LVIF_HVP_PORT_BIND, 2, 0, 0, Privilege::guest},
    {LVIF_HVP_PORT_LEASE, 2, 0, 0, Privilege::guest},
    {LVIF_HVP_PORT_RELEASE, 3, 0, 0, Privilege::guest},
    {LVIF_HVP_PORTMAP, 0, 0, 0, Privilege::control},
    {LVIF_HVP_PORT_SET_LIMIT, 2, 0, 0, Privilege::control},
    {LVIF_HVP_PORT_RESERVE, 4, 0, 0, Privilege::control},
    {LVIF_HVP_PORT_QUERY, 2, 0, 0, Privilege::control},
    {LVIF_HVP_STATISTICS, 0, 0, 0, Privilege::control},
}};

constexpr bool forms_are_in_order() {
    for (std::size_t i = 0; i < forms.size(); i++)
        if (forms[i].operation != static_cast<int>(i + 1))
            return false;
    return true;
}
static_assert(forms_are_in_order());

bool take_texts(std::string_view payload, std::size_t count, std::array<std::string_view, 2>& texts) {
    for (std::size_t i = 0; i < count; i++) {
        std::size_t const end = payload.find('\0');
        if (end == std::string_view::npos)
            return false;
        texts[i] = payload.substr(0, end);
        payload.remove_prefix(end + 1);
    }
    return payload.empty();
}

}  // namespace

std::optional<Request> parse_request(std::span<std::byte const> packet, std::vector<UniqueFd>& fds) {
    lvif_hvp_header header;
    if (packet.size() < sizeof(header) || packet.size() > sizeof(lvif_hvp_message))
        return std::nullopt;
    std::memcpy(&header, packet.data(), sizeof(header));
    if (header.magic != LVIF_HVP_MAGIC || header.version != LVIF_HVP_VERSION || header.status != 0 ||
        header.reserved != 0 || header.length != packet.size() - sizeof(header) || header.operation == 0 ||
        header.operation >= LVIF_HVP_OPERATIONS)
        return std::nullopt;

    Form const& form = forms[header.operation - 1u];
    Request request;
    request.operation = form.operation;
    request.sequence = header.sequence;
    std::copy(std::begin(header.argument), std::end(header.argument), request.argument.begin());
    bool const no_more_arguments = std::all_of(request.argument.begin() + form.arguments, request.argument.end(),
                                               [](std::uint64_t argument) { return argument == 0; });
    std::string_view const payload{reinterpret_cast<char const*>(packet.data()) + sizeof(header), header.length};
    if (!no_more_arguments || !take_texts(payload, form.texts, request.text) || fds.size() != form.fds)
        return std::nullopt;
    if (form.fds == 1)
        request.fd = std::move(fds.front());
    return request;
}

Privilege privilege_of(lvif_hvp_operation operation) {
    return forms[static_cast<std::size_t>(operation) - 1].privilege;
}

}  // namespace librettos
