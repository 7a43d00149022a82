# SPDX-License-Identifier: BSD-2-Clause
"""Dependencies point down: daemon -> drivers -> portmap -> guest-frontend/include; DPDK's and Xen's headers stay in the
folders that are made for them."""
import posixpath
import re
from pathlib import Path

import project

# Folder -> folders whose headers it may include, besides its own and those below it. The longest match counts.
MAY_INCLUDE = {
    "guest-frontend/include": [],
    "guest-frontend/src": ["guest-frontend/include"],
    "guest-frontend/local": ["guest-frontend/include"],
    "guest-frontend": ["guest-frontend"],
    "portmap": ["guest-frontend/include"],
    "drivers/nic": ["portmap", "guest-frontend/include", "drivers/start_check.hpp", "drivers/machine_addresses.hpp",
                    "drivers/steering/steering.hpp", "drivers/unique_fd.hpp"],
    "drivers": ["portmap", "guest-frontend/include", "guest-frontend/local", "drivers/hypervisor", "drivers/start_check.hpp",
                "drivers/machine_addresses.hpp", "drivers/unique_fd.hpp"],
    "daemon/api": [],
    "daemon/config": ["daemon/api", "drivers/nic/port_options.hpp"],
    "daemon/ctl": ["daemon/api", "daemon/config", "drivers/kernel_check.hpp", "drivers/start_check.hpp", "drivers/nic/preflight.hpp",
                   "drivers/hypervisor/xen"],
    "daemon/engine/datapath": ["daemon/api", "daemon/config", "daemon/engine/boot.hpp", "drivers/hypervisor/hypervisor.hpp",
                               "portmap", "guest-frontend/include"],
    "daemon/engine": ["daemon/api", "daemon/config", "daemon/engine", "drivers/hypervisor", "drivers/nic/port_description.hpp", "drivers/steering/vf_traffic.hpp",
                      "drivers/unique_fd.hpp",
                      "portmap", "guest-frontend/include"],
    "daemon/holder": ["daemon/api", "daemon/config", "daemon/engine", "drivers", "portmap", "guest-frontend/include"],
}

DPDK_FOLDERS = ("drivers/nic/", "guest-frontend/dpdk/", "daemon/holder/", "daemon/engine/datapath/", "tests/")
XEN_FOLDERS = ("drivers/hypervisor/xen/", "guest-frontend/kernel/", "guest-frontend/rumprun/", "guest-frontend/xen/", "tests/")
# Know bytes and addresses, no DPDK.
NO_DPDK = re.compile(r"daemon/engine/datapath/(classify|classifier|directory|checksum|segment|frame_ring)\w*\.\w+$")

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]+[<"]([^>"\n]+)[>"]', re.MULTILINE)


def target_of(root: Path, path: str, included: str):
    """The file of ours that an #include names, or nothing."""
    beside = posixpath.normpath((Path(path).parent / included).as_posix())
    for candidate in (included, "guest-frontend/include/" + included, "guest-frontend/" + included, beside):
        if (root / candidate).is_file():
            return candidate
    return None


def below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder + "/")


def layer_of(path: str):
    return max((f for f in MAY_INCLUDE if below(path, f)), key=len, default=None)


def check_edge(path: str, target: str):
    layer = layer_of(path)
    if layer is None or below(target, layer):
        return None
    if any(below(target, folder) for folder in MAY_INCLUDE[layer]):
        return None
    return f"{layer} must not include {target}"


def check_foreign(path: str, included: str):
    name = Path(included).name
    if re.match(r"rte_.*\.h$", name):
        if NO_DPDK.match(path):
            return f"includes {included}: this file knows no DPDK"
        if not path.startswith(DPDK_FOLDERS):
            return f"includes {included}: DPDK belongs into {', '.join(DPDK_FOLDERS)}"
    if re.match(r"xen.*\.h$", name) and not path.startswith(XEN_FOLDERS):
        return f"includes {included}: Xen belongs into {', '.join(XEN_FOLDERS)}"
    return None


def check(root: Path):
    findings = []
    for path in project.sources(root):
        text = project.read(root, path)
        for match in INCLUDE.finditer(text):
            included = match.group(1)
            target = target_of(root, path, included)
            problem = check_edge(path, target) if target else check_foreign(path, included)
            if problem:
                findings.append(f"{path}:{project.line_of(text, match.start(1))}: {problem}")
    return findings


GOOD = {
    "guest-frontend/include/librettos/ring.h": "#include <stdint.h>\n",
    "portmap/table.hpp": "#include <librettos/ring.h>\n",
    "drivers/hypervisor/hypervisor.hpp": '#include "portmap/table.hpp"\n',
    "drivers/nic/port.cpp": "#include <rte_ethdev.h>\n#include \"portmap/table.hpp\"\n",
    "daemon/config/config.hpp": "",
    "daemon/engine/datapath/loop.cpp": '#include <rte_mbuf.h>\n#include "portmap/table.hpp"\n',
    "daemon/engine/datapath/classify.cpp": '#include "portmap/table.hpp"\n',
    "tests/unit/x.cpp": "#include <rte_mbuf.h>\n#include \"daemon/config/config.hpp\"\n",
}
BAD = [
    {"portmap/table.hpp": '#include "daemon/config/config.hpp"\n', "daemon/config/config.hpp": ""},
    {"drivers/hypervisor/local/a.cpp": '#include "daemon/api/counters.hpp"\n', "daemon/api/counters.hpp": ""},
    {"drivers/nic/a.cpp": '#include "daemon/config/config.hpp"\n', "daemon/config/config.hpp": ""},
    {"drivers/nic/a.cpp": '#include "daemon/holder/main.hpp"\n', "daemon/holder/main.hpp": ""},
    {"guest-frontend/include/librettos/a.h": "#include <portmap/table.hpp>\n", "portmap/table.hpp": ""},
    {"guest-frontend/src/a.c": '#include "../local/client.h"\n', "guest-frontend/local/client.h": ""},
    {"daemon/engine/datapath/classify.cpp": "#include <rte_mbuf.h>\n"},
    {"daemon/engine/datapath/frame_ring.hpp": "#  include <rte_byteorder.h>\n"},
    {"daemon/engine/control/guests.cpp": "#include <rte_mbuf.h>\n"},
    {"daemon/engine/datapath/loop.cpp": "#include <xenctrl.h>\n"},
    {"daemon/engine/datapath/loop.cpp": '#include "daemon/engine/control/guests.hpp"\n', "daemon/engine/control/guests.hpp": ""},
    {"daemon/ctl/main.cpp": '#include "daemon/engine/boot.hpp"\n', "daemon/engine/boot.hpp": ""},
]
