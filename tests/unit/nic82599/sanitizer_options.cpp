// SPDX-License-Identifier: BSD-2-Clause
// What DPDK leaves behind at its end is not ours. Asked by LeakSanitizer; without it nobody calls this.
extern "C" char const* __lsan_default_suppressions();

extern "C" char const* __lsan_default_suppressions() {
    return "leak:librte_\n";
}
