// SPDX-License-Identifier: BSD-2-Clause
// The watches of one connection and the events that it has not been sent yet. Bounded whatever the reader does: equal
// events are one event, and a watch with too many of them gets a single one that says "something at or below".
#pragma once

#include <cstddef>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

namespace librettos {

class Watches {
  public:
    struct Event {
        std::string watched;
        std::string changed;
        friend auto operator<=>(Event const&, Event const&) = default;
    };

    static constexpr std::size_t events_per_watch_max = 32;

    explicit Watches(std::size_t watches_max) : watches_max_{watches_max} {}

    // 0, -EEXIST, -ENOSPC when there are too many. Queues the first event.
    int add(std::string_view path);
    int remove(std::string_view path);  // 0 or -ENOENT; drops its events

    template <typename F>
    void each(F f) const {
        for (auto const& [path, watch] : watches_)
            f(std::string_view{path});
    }
    // Queues an event for a watch of this path, which must exist.
    void fire(std::string_view watched, std::string_view changed);

    Event const* front() const { return queue_.empty() ? nullptr : &queue_.front(); }
    void pop();
    std::size_t watches() const { return watches_.size(); }
    std::size_t events() const { return queue_.size(); }

  private:
    struct Watch {
        std::set<std::string, std::less<>> pending;  // changed paths in the queue
    };

    void drop_events(std::string_view watched);

    std::size_t watches_max_;
    std::map<std::string, Watch, std::less<>> watches_;
    std::deque<Event> queue_;
};

}  // namespace librettos
