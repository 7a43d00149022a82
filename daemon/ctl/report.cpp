// SPDX-License-Identifier: BSD-2-Clause
// How librettosctl tells what came of a request.
#include "daemon/ctl/commands.hpp"
#include "daemon/ctl/fields.hpp"

namespace librettos::ctl {

namespace {

void print_error(Session const& session, std::string const& message, std::string const& hint) {
    *session.err << "librettosctl: " << printable(message) << "\n";
    if (!hint.empty())
        *session.err << "  " << printable(hint) << "\n";
}

}  // namespace

int report(Session const& session, Reply const& reply, std::function<void(Json const&)> const& print) {
    if (!reply.ok)
        return report_refusal(session, reply);
    if (session.json)
        *session.out << reply.line << "\n";
    else
        print(reply.result);
    return exit_fine;
}

void print_particular(Session const& session, char const* label, std::string const& text) {
    if (!text.empty())
        *session.out << session.style.paint(Tone::dim, label) << printable(text) << "\n";
}

int report_refusal(Session const& session, Reply const& reply) {
    if (session.json)
        *session.out << reply.line << "\n";
    else
        print_error(session, reply.message, reply.hint);
    return exit_refused;
}

int report_unreachable(Session const& session, Unreachable const& error) {
    if (session.json) {
        Json const document{{"schema", 1},
                            {"ok", false},
                            {"error", {{"code", "unreachable"}, {"message", error.what()}, {"hint", error.hint()}}}};
        *session.out << document.dump(-1, ' ', false, Json::error_handler_t::replace) << "\n";
    } else {
        print_error(session, error.what(), error.hint());
    }
    return exit_unreachable;
}

}  // namespace librettos::ctl
