// SPDX-License-Identifier: BSD-2-Clause
// Families of samples, each with its labels.
#include "daemon/ctl/prometheus.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <string_view>

#include "daemon/ctl/counter_meaning.hpp"
#include "daemon/ctl/health.hpp"
#include "daemon/ctl/text.hpp"

namespace librettos::ctl {

namespace {

constexpr std::string_view drop_prefix = "drop_";
constexpr std::string_view wire_prefix = "wire_";
constexpr std::uint64_t ns_per_s = 1'000'000'000;

std::string label_value(std::string_view text) {
    std::string value;
    for (char const c : printable(text)) {
        if (c == '"' || c == '\\')
            value += '\\';
        value += c;
    }
    return value;
}

std::string labels_of(SlotReading const& slot, std::string_view more = "") {
    return "{guest=\"" + label_value(slot.name) + "\",domain=\"" + (slot.slot == 0 ? "" : std::to_string(slot.domain)) +
           "\"" + std::string(more) + "}";
}

std::string seconds_text(std::uint64_t ns) {
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), "%llu.%09llu", static_cast<unsigned long long>(ns / ns_per_s),
                  static_cast<unsigned long long>(ns % ns_per_s));
    return text.data();
}

class Exposition {
  public:
    explicit Exposition(std::ostream& out) : out_(out) {}

    // Samples follow until the next one begins.
    void begin(std::string_view name, std::string_view type, std::string_view help) {
        family_ = "librettos_" + std::string(name);
        out_ << "# HELP " << family_ << " " << help << "\n# TYPE " << family_ << " " << type << "\n";
    }
    void sample(std::string_view labels, std::string_view value) { out_ << family_ << labels << " " << value << "\n"; }
    void sample(std::string_view labels, std::uint64_t value) { sample(labels, std::to_string(value)); }

  private:
    std::ostream& out_;
    std::string family_;
};

void print_engine(Exposition& to, StatsReading const& reading) {
    to.begin("engine_up", "gauge", "1 while the engine's process exists");
    to.sample("", process_exists(reading.engine_pid) ? 1U : 0U);
    to.begin("engine_starts_total", "counter", "engines since the holder started");
    to.sample("", reading.engine_generation);
    to.begin("engine_uptime_seconds", "gauge", "since this engine started");
    to.sample("", seconds_text(reading.taken_ns - std::min(reading.taken_ns, reading.engine_start_ns)));
}

template <typename Value>
void print_threads(Exposition& to, StatsReading const& reading, Value value) {
    for (std::size_t i = 0; i < reading.threads.size(); ++i)
        to.sample("{thread=\"" + std::to_string(i) + "\"}", value(reading.threads[i]));
}

void print_threads(Exposition& to, StatsReading const& reading) {
    to.begin("thread_turns_total", "counter", "turns of a data thread's loop");
    print_threads(to, reading, [](ThreadReading const& thread) { return thread.turns; });
    to.begin("thread_sleeps_total", "counter", "times a data thread went to sleep");
    print_threads(to, reading, [](ThreadReading const& thread) { return thread.sleeps; });
    to.begin("thread_busy_seconds_total", "counter", "time that a data thread spent in turns that did work");
    print_threads(to, reading, [](ThreadReading const& thread) { return seconds_text(thread.busy_ns); });
    to.begin("buffers_lost_total", "counter", "buffers given up for lost at engine starts");
    print_threads(to, reading, [](ThreadReading const& thread) { return thread.mbufs_lost; });
}

void print_counter(Exposition& to, std::string const& name, std::size_t index, std::vector<SlotReading> const& slots) {
    bool const of_wire = name.starts_with(wire_prefix);
    to.begin(name + "_total", "counter", meaning_of(name));
    for (SlotReading const& slot : slots) {
        if (!of_wire)
            to.sample(labels_of(slot), slot.counters[index]);
        else if (slot.slot == 0)
            to.sample("", slot.counters[index]);
    }
}

}  // namespace

void print_prometheus(std::ostream& out, std::vector<std::string> const& names, StatsReading const& reading,
                      std::vector<SlotReading> const& slots) {
    Exposition to(out);
    print_engine(to, reading);
    print_threads(to, reading);
    for (std::size_t i = 1; i < names.size(); ++i) {  // 0 is "none"
        if (!names[i].starts_with(drop_prefix))
            print_counter(to, names[i], i, slots);
    }
    to.begin("dropped_frames_total", "counter", "frames that were not delivered, each for one reason");
    for (SlotReading const& slot : slots) {
        for (std::size_t i = 1; i < names.size(); ++i) {
            if (names[i].starts_with(drop_prefix))
                to.sample(labels_of(slot, ",reason=\"" + names[i].substr(drop_prefix.size()) + "\""), slot.counters[i]);
        }
    }
}

}  // namespace librettos::ctl
