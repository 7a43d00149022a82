# SPDX-License-Identifier: BSD-2-Clause
"""The machine that was measured, and its huge pages while it is."""

import contextlib
import os
import pathlib
import platform
import subprocess

NR_HUGEPAGES = pathlib.Path("/proc/sys/vm/nr_hugepages")


def describe():
    model = ""
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    dpdk = subprocess.run(["pkg-config", "--modversion", "libdpdk"], capture_output=True, text=True, check=False)
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "dpdk": dpdk.stdout.strip(),
        "load_at_start": os.getloadavg()[0],
        "memory_mib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20,
    }


@contextlib.contextmanager
def huge_pages(mebibytes):
    """Reserves 2 MiB pages and gives them back. Yields whether all of them were there."""
    try:
        before = int(NR_HUGEPAGES.read_text())
        NR_HUGEPAGES.write_text(str(before + mebibytes // 2))
    except (OSError, ValueError):
        yield False
        return
    try:
        yield int(NR_HUGEPAGES.read_text()) >= before + mebibytes // 2
    finally:
        NR_HUGEPAGES.write_text(str(before))
