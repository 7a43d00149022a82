// SPDX-License-Identifier: BSD-2-Clause
// `librettosctl stats`: counters out of the mapped statistics file, with rates when watched. Asks nobody.
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <ctime>
#include <system_error>

#include "daemon/api/stats_reader.hpp"
#include "daemon/ctl/commands.hpp"
#include "daemon/ctl/counter_meaning.hpp"
#include "daemon/ctl/fields.hpp"
#include "daemon/ctl/health.hpp"
#include "daemon/ctl/prometheus.hpp"

namespace librettos::ctl {

namespace {

volatile sig_atomic_t interrupted = 0;

void on_interrupt(int) {
    interrupted = 1;
}

bool is_drop(std::string const& name) {
    return name.starts_with("drop_");
}

// The wire first, then the guests by name; only `guest` (name or domain id) when it is given.
std::vector<SlotReading> chosen_slots(StatsReading const& reading, std::string const& guest) {
    std::vector<SlotReading> slots;
    for (auto const& slot : reading.slots)
        if (guest.empty() || slot.name == guest || (slot.slot != 0 && std::to_string(slot.domain) == guest))
            slots.push_back(slot);
    std::stable_sort(slots.begin(), slots.end(), [](SlotReading const& a, SlotReading const& b) {
        return std::pair{a.slot != 0, a.name} < std::pair{b.slot != 0, b.name};
    });
    return slots;
}

SlotReading const* same_slot(StatsReading const* reading, SlotReading const& slot) {
    if (reading == nullptr)
        return nullptr;
    for (auto const& other : reading->slots)
        if (other.slot == slot.slot && other.generation == slot.generation &&
            other.counters.size() == slot.counters.size())
            return &other;
    return nullptr;
}

double per_second(std::uint64_t before, std::uint64_t after, std::uint64_t elapsed_ns) {
    return after <= before || elapsed_ns == 0
               ? 0.0
               : static_cast<double>(after - before) * 1e9 / static_cast<double>(elapsed_ns);
}

std::string rate_text(std::string const& name, double rate) {
    if (rate == 0)
        return "0";
    return name.ends_with("_bytes") ? bit_rate(rate * 8) : frame_rate(rate);
}

// Prints readings, each with the rates since the one before.
class StatsPrinter {
  public:
    StatsPrinter(Session const& session, StatsView const& view) : session_(session), view_(view) {}

    // False when the guest that was asked for is not there.
    bool print(std::vector<std::string> const& names, StatsReading const& reading, StatsReading const* before) {
        auto const slots = chosen_slots(reading, view_.guest);
        if (slots.empty())
            return false;
        if (view_.prometheus)
            print_prometheus(*session_.out, names, reading, slots);
        else if (session_.json)
            print_json(names, reading, before, slots);
        else
            print_text(names, reading, before, slots);
        session_.out->flush();
        return true;
    }

  private:
    void print_json(std::vector<std::string> const& names, StatsReading const& reading, StatsReading const* before,
                    std::vector<SlotReading> const& slots) const {
        Json guests = Json::array();
        for (auto const& slot : slots) {
            Json counters = Json::object();
            Json rates = Json::object();
            auto const* old = same_slot(before, slot);
            for (std::size_t i = 1; i < names.size(); ++i) {
                if (slot.counters[i] == 0 && !view_.all)
                    continue;
                counters[names[i]] = slot.counters[i];
                if (old != nullptr)
                    rates[names[i]] =
                        per_second(old->counters[i], slot.counters[i], reading.taken_ns - before->taken_ns);
            }
            Json guest{{"name", slot.name}, {"slot", slot.slot}, {"counters", counters}};
            guest["domain"] = slot.slot == 0 ? Json{} : Json(slot.domain);
            if (old != nullptr)
                guest["per_second"] = rates;
            guests.push_back(guest);
        }
        Json threads = Json::array();
        for (auto const& thread : reading.threads)
            threads.push_back({{"turns", thread.turns},
                               {"sleeping", thread.sleeping},
                               {"sleeps", thread.sleeps},
                               {"busy_ns", thread.busy_ns},
                               {"mbufs_lost", thread.mbufs_lost}});
        Json const engine{
            {"generation", reading.engine_generation},
            {"pid", reading.engine_pid},
            {"holder_pid", reading.holder_pid},
            {"running", process_exists(reading.engine_pid)},
            {"up_s", (reading.taken_ns - std::min(reading.taken_ns, reading.engine_start_ns)) / 1'000'000'000}};
        Json const result{{"taken_ns", reading.taken_ns}, {"engine", engine}, {"threads", threads}, {"guests", guests}};
        // Names in the file may be anything: replaced rather than thrown about.
        *session_.out << Json{{"schema", 1}, {"ok", true}, {"result", result}}.dump(-1, ' ', false,
                                                                                    Json::error_handler_t::replace)
                      << "\n";
    }

    void print_text(std::vector<std::string> const& names, StatsReading const& reading, StatsReading const* before,
                    std::vector<SlotReading> const& slots) const {
        print_engine(reading);
        for (std::size_t t = 0; t < reading.threads.size(); ++t)
            print_thread(t, reading, before);
        for (auto const& slot : slots) {
            *session_.out << "\n";
            print_slot(names, slot, same_slot(before, slot),
                       before == nullptr ? 0 : reading.taken_ns - before->taken_ns);
        }
    }

    void print_engine(StatsReading const& reading) const {
        bool const runs = process_exists(reading.engine_pid);
        auto const up_s = (reading.taken_ns - std::min(reading.taken_ns, reading.engine_start_ns)) / 1'000'000'000;
        auto const name =
            "engine " + std::to_string(reading.engine_generation) + ", pid " + std::to_string(reading.engine_pid);
        *session_.out << session_.style.paint(runs ? Tone::strong : Tone::bad,
                                              name + (runs ? ", up " + duration(up_s) : ", does not run"))
                      << "\n";
    }

    void print_thread(std::size_t index, StatsReading const& reading, StatsReading const* before) const {
        auto const& thread = reading.threads[index];
        std::string text = "thread " + std::to_string(index) + (thread.sleeping ? ": asleep, " : ": awake, ") +
                           counted(thread.turns, "turn") + ", " + counted(thread.sleeps, "sleep") + ", busy ";
        if (before != nullptr && index < before->threads.size()) {
            auto const busy =
                per_second(before->threads[index].busy_ns, thread.busy_ns, reading.taken_ns - before->taken_ns);
            text += std::to_string(std::lround(busy / 1e7)) + " %";
        } else {
            text += duration(thread.busy_ns / 1'000'000'000);
        }
        if (thread.mbufs_lost > 0)
            text += ", " + counted(thread.mbufs_lost, "buffer") + " lost";
        *session_.out << text << "\n";
    }

    void print_slot(std::vector<std::string> const& names, SlotReading const& slot, SlotReading const* old,
                    std::uint64_t elapsed_ns) const {
        auto const title = slot.slot == 0 ? slot.name : slot.name + " (domain " + std::to_string(slot.domain) + ")";
        Table table{{{printable(title)}, {"COUNT", Table::Align::right}, {"RATE", Table::Align::right}, {"MEANING"}}};
        for (bool const drops : {false, true})
            for (std::size_t i = 1; i < names.size(); ++i) {  // 0 is "none"
                if (is_drop(names[i]) != drops || (slot.counters[i] == 0 && !view_.all))
                    continue;
                double const rate = old == nullptr ? 0 : per_second(old->counters[i], slot.counters[i], elapsed_ns);
                auto const tone = !drops || slot.counters[i] == 0 ? Tone::plain : rate > 0 ? Tone::bad : Tone::warning;
                table.add({names[i], grouped(slot.counters[i]), old == nullptr ? "" : rate_text(names[i], rate),
                           std::string{meaning_of(names[i])}},
                          tone);
            }
        *session_.out << table.text(session_.style);
        if (table.empty())
            *session_.out << "nothing yet\n";
    }

    Session const& session_;
    StatsView const& view_;
};

int report_unreadable(Session const& session, std::string const& what, int error) {
    std::string hint =
        "the holder of librettos-netserver makes this file at its start: systemctl status "
        "librettos-netserver; --stats-file names another";
    if (error == EACCES || error == EPERM)
        hint = "root may read it, and members of the group that paths.api_group of the configuration names";
    return report_unreachable(session, Unreachable("cannot read the statistics: " + what, hint));
}

int report_missing_guest(Session const& session, std::string const& guest) {
    Reply reply;
    reply.code = "not-found";
    reply.message = "no guest '" + guest + "' has counters";
    reply.hint = "librettosctl guests lists them";
    reply.line = Json{{"schema", 1},
                      {"ok", false},
                      {"error", {{"code", reply.code}, {"message", reply.message}, {"hint", reply.hint}}}}
                     .dump(-1, ' ', false, Json::error_handler_t::replace);
    return report_refusal(session, reply);
}

int watch(Session const& session, StatsView const& view, StatsReader& reader) {
    struct sigaction action {};
    action.sa_handler = on_interrupt;
    sigaction(SIGINT, &action, nullptr);
    sigaction(SIGTERM, &action, nullptr);
    bool const terminal = !session.json && isatty(STDOUT_FILENO) == 1;
    StatsPrinter printer{session, view};
    std::optional<StatsReading> before;
    auto const pause_ms = static_cast<int>(*view.watch_s * 1000);
    for (bool first = true; interrupted == 0 && session.out->good(); first = false) {
        auto const reading = reader.read();
        if (terminal)
            *session.out << "\x1b[H\x1b[2J";
        else if (!first && !session.json)
            *session.out << "\n";
        if (!printer.print(reader.counter_names(), reading, before ? &*before : nullptr))
            return report_missing_guest(session, view.guest);
        before = reading;
        poll(nullptr, 0, pause_ms);
    }
    return exit_fine;
}

}  // namespace

int show_stats(Session const& session, StatsView const& view) {
    try {
        StatsReader reader{session.stats_path};
        if (view.watch_s)
            return watch(session, view, reader);
        bool const found = StatsPrinter{session, view}.print(reader.counter_names(), reader.read(), nullptr);
        return found ? exit_fine : report_missing_guest(session, view.guest);
    } catch (std::system_error const& error) {
        return report_unreadable(session, error.what(), error.code().value());
    } catch (std::runtime_error const& error) {
        return report_unreadable(session, error.what(), 0);
    }
}

}  // namespace librettos::ctl
