// SPDX-License-Identifier: BSD-2-Clause
// The log that keeps quiet.
#include "drivers/hypervisor/xen/quiet_log.hpp"

namespace librettos {

namespace {

void drop_message(xentoollog_logger*, xentoollog_level, int, char const*, char const*, va_list) {
}
void drop_progress(xentoollog_logger*, char const*, char const*, int, unsigned long, unsigned long) {
}
void keep(xentoollog_logger*) {
}

}  // namespace

xentoollog_logger* quiet_log() {
    static xentoollog_logger log{drop_message, drop_progress, keep};
    return &log;
}

}  // namespace librettos
