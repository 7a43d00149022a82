// SPDX-License-Identifier: BSD-2-Clause
// A log for Xen's libraries that keeps quiet: they print one line per failed mapping, and a guest can make mappings
// fail. What failed is in the errno that our exceptions carry.
#pragma once

extern "C" {  // the headers do not say so
#include <xentoollog.h>
}

namespace librettos {

xentoollog_logger* quiet_log();

}  // namespace librettos
