// SPDX-License-Identifier: BSD-2-Clause
// What the fakes of the three libraries share: open connections to the store, and events on their way to the server.
#pragma once

#include <set>
#include <string_view>

namespace librettos::test {

class FakeXen;

class FakeStoreHandle {
  public:
    virtual ~FakeStoreHandle() = default;
    virtual void changed(FakeXen& xen, std::string_view path) = 0;
};

std::set<FakeStoreHandle*>& fake_store_handles();
void fake_event_arrived(int server_port);

}  // namespace librettos::test
