// SPDX-License-Identifier: BSD-2-Clause
// librettos-portmap: what only the control domain may tell a hypervisor that keeps the portmap, where the server runs
// in another domain.
#include <algorithm>
#include <iostream>
#include <optional>
#include <string>
#include <system_error>

#include <CLI/CLI.hpp>

#include "drivers/hypervisor/xen/portmap_calls.hpp"

namespace librettos {

namespace {

constexpr std::uint32_t all_ports = 2 * LVIF_PORTS;

enum Status { fine = 0, refused = 1, wrong_usage = 2, no_portmap = 3 };

// Of a domain, in decimal, without sign or leading zero.
std::optional<std::uint16_t> parse_id(std::string const& text) {
    std::uint16_t id = 0;
    bool const digits = !text.empty() && text.size() <= 5 &&
                        std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
    if (!digits || (text[0] == '0' && text != "0") || !CLI::detail::lexical_cast(text, id) || id >= LVIF_PORTMAP_SELF)
        return std::nullopt;
    return id;
}

std::string check_id(std::string const& text) {
    return parse_id(text) ? std::string{} : "'" + text + "' is no domain's id; xl domid NAME says it";
}

std::string check_server(std::string const& text) {
    return text == "nobody" ? std::string{} : check_id(text);
}

// As xl and the server take names; the hypervisor keeps so much of one.
std::string check_name(std::string const& text) {
    return !text.empty() && text.size() <= LVIF_PORTMAP_NAME_MAX
               ? std::string{}
               : "a name has 1 to " + std::to_string(LVIF_PORTMAP_NAME_MAX) + " characters";
}

std::string explain(std::system_error const& error) {
    if (error.code() == std::errc::operation_not_permitted)
        return "only the control domain may";
    if (error.code() == std::errc::no_such_file_or_directory)
        return "there is no such domain, or it is the control domain; xl list shows them";
    if (error.code() == std::errc::device_or_resource_busy)
        return "another domain has the portmap's table mapped; stop the server there first";
    return error.what();
}

struct Arguments {
    std::string domain;
    std::string name;
    std::uint32_t ports = 0;
};

void assign(PortmapCalls& portmap, Arguments const& arguments) {
    portmap.seed();  // a server in dom0 does that for itself, too
    portmap.assign(parse_id(arguments.domain).value_or(LVIF_PORTMAP_NOBODY));
}

void name(PortmapCalls& portmap, Arguments const& arguments) {
    portmap.set_name(DomId{parse_id(arguments.domain).value()}, arguments.name);
}

void limit(PortmapCalls& portmap, Arguments const& arguments) {
    portmap.set_limit(DomId{parse_id(arguments.domain).value()}, arguments.ports != 0 ? arguments.ports : all_ports);
}

using Command = void (*)(PortmapCalls&, Arguments const&);

CLI::App* add(CLI::App& app, Command& chosen, char const* word, char const* help, Command command) {
    auto* const added = app.add_subcommand(word, help);
    added->callback([&chosen, command] { chosen = command; });
    return added;
}

void describe(CLI::App& app, Arguments& arguments, Command& chosen) {
    app.set_version_flag("--version", "librettos-portmap " LIBRETTOS_VERSION);
    app.require_subcommand(1);
    app.footer("In dom0, for a server in a driver domain; see librettos-portmap(8).");
    add(app, chosen, "assign", "Which domain the server runs in: it may map the portmap's table", assign)
        ->add_option("DOMAIN", arguments.domain, "Its id, or nobody")
        ->required()
        ->check(CLI::Validator(check_server, ""));
    auto* const named =
        add(app, chosen, "name", "What a guest is called: its ports are kept for that name when it ends", name);
    named->add_option("DOMAIN", arguments.domain, "Its id")->required()->check(CLI::Validator(check_id, ""));
    named->add_option("NAME", arguments.name, "Shown by the server, too")
        ->required()
        ->check(CLI::Validator(check_name, ""));
    auto* const limited = add(app, chosen, "limit", "How many ports a guest may own, TCP and UDP together", limit);
    limited->add_option("DOMAIN", arguments.domain, "Its id")->required()->check(CLI::Validator(check_id, ""));
    limited->add_option("PORTS", arguments.ports, "1 .. 131072; 0: no limit")
        ->required()
        ->check(CLI::Range(std::uint32_t{0}, all_ports));
}

int complain(std::string const& what, Status status) {
    std::cerr << "librettos-portmap: " << what << "\n";
    return status;
}

int run(Command command, Arguments const& arguments) {
    std::optional<PortmapCalls> portmap;
    try {
        portmap.emplace();
        if (!portmap->present())
            return complain("the hypervisor keeps no portmap, or not this release's; the server does", no_portmap);
    } catch (std::system_error const& error) {
        return complain(error.what(), refused);
    }
    try {
        command(*portmap, arguments);
    } catch (std::system_error const& error) {
        return complain(arguments.domain + ": " + explain(error), refused);
    }
    return fine;
}

}  // namespace

}  // namespace librettos

int main(int argc, char** argv) {
    librettos::Arguments arguments;
    librettos::Command chosen = nullptr;
    CLI::App app{"Tells a hypervisor that keeps the portmap what only the control domain may.", "librettos-portmap"};
    librettos::describe(app, arguments, chosen);
    try {
        app.parse(argc, argv);
    } catch (CLI::ParseError const& error) {
        return app.exit(error) == 0 ? librettos::fine : librettos::wrong_usage;
    }
    return librettos::run(chosen, arguments);
}
