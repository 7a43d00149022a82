// SPDX-License-Identifier: BSD-2-Clause
// Scopes for the rump kernel's scheduling rules.
#pragma once

#include "guest-frontend/rump/contract.h"

namespace librettos::guest {

// In a hypercall: whoever is in this scope may block.
class Unscheduled {
  public:
    Unscheduled() : cookie_(rumpuser_component_unschedule()) {}
    ~Unscheduled() { rumpuser_component_schedule(cookie_); }
    Unscheduled(Unscheduled const&) = delete;
    Unscheduled& operator=(Unscheduled const&) = delete;

  private:
    void* cookie_;
};

}  // namespace librettos::guest
