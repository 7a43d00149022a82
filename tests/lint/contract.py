# SPDX-License-Identifier: BSD-2-Clause
"""What a holder and an engine of different releases share changes only knowingly: a checksum of its headers, without comments and
white space, stands beside the contract's number."""
import hashlib
import re
from pathlib import Path

import project

CONTRACT = "daemon/engine/object/contract.hpp"
# Counters are not here: the program compares their names itself.
SHARED = ("daemon/engine/boot.hpp", "daemon/engine/holder_messages.hpp", "daemon/engine/datapath/spsc_queue.hpp", "daemon/api/stats_file.hpp",
          "drivers/nic/port_description.hpp", "drivers/steering/vf_traffic.hpp", "guest-frontend/include/librettos/frame_ring.h")
NUMBER = re.compile(r"engine_contract_number = (\d+);")
RECORD = re.compile(r"// lint\.contract: number (\d+), headers ([0-9a-f]{16})$", re.MULTILINE)


def checksum(root: Path):
    digest = hashlib.sha256()
    for path in SHARED:
        digest.update("".join(project.code(project.read(root, path)).split()).encode())
    return digest.hexdigest()[:16]


def check(root: Path):
    if not (root / CONTRACT).is_file():
        return []
    text = project.read(root, CONTRACT)
    number, record = NUMBER.search(text), RECORD.search(text)
    if not number or not record:
        return [f"{CONTRACT}:1: has no engine_contract_number, or no line like // lint.contract: number 1, headers {checksum(root)}"]
    if (number[1], checksum(root)) == record.groups():
        return []
    return [f"{CONTRACT}:1: what holder and engine share has changed ({', '.join(SHARED)}): if a holder from before and an engine from after the "
            f"change, or the reverse, would misunderstand each other, raise engine_contract_number; then write: "
            f"// lint.contract: number {number[1]}, headers {checksum(root)}"]


def _sample(boot="int a;\n", number=1, headers=None, record=None):
    files = {path: "int b;\n" for path in SHARED} | {SHARED[0]: boot}
    digest = hashlib.sha256("".join("".join(project.code(files[path]).split()) for path in SHARED).encode()).hexdigest()[:16]
    record = record or f"// lint.contract: number 1, headers {headers or digest}"
    return files | {CONTRACT: f"{record}\nconstexpr int engine_contract_number = {number};\n"}


_USUAL = _sample()[CONTRACT]
GOOD = _sample("int  a; // said better\n", headers=RECORD.search(_USUAL)[2])
BAD = [_sample("long a;\n", headers=RECORD.search(_USUAL)[2]), _sample(number=2), _sample(record="// nothing")]
