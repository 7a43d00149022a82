# SPDX-License-Identifier: BSD-2-Clause
"""For groups with an echo service at the dedicated address: a TCP connection that is kept full both ways, its content compared."""

from machine import HERE, PATIENCE
from netserver import DEDICATED4


class EchoLoad:
    def start_load(self, address=DEDICATED4):
        self.machine.put("echo_load.py", (HERE / "echo_load.py").read_text())
        self.machine.run("rm -f /tmp/load /tmp/stop")
        self.load = self.machine.start_step(
            f"STILL_S={60 * PATIENCE} exec ip netns exec wire python3 -B /lab/echo_load.py {address} 7 /tmp/load /tmp/stop")
        self.addCleanup(self.machine.run, "touch /tmp/stop")
        self.progress()

    def loaded(self):
        """(bytes that came back, longest pause in seconds)"""
        back, pause = self.machine.run("cat /tmp/load").split()
        return int(back), float(pause)

    def progress(self):
        """Until as much has come back as is never in flight at a time."""
        self.assertIsNone(self.load.status, self.load.output)
        before = self.loaded()[0] if self.machine.status_of("[ -e /tmp/load ]") == 0 else 0
        self.eventually(lambda: self.load.status is not None or self.loaded()[0] > before + 600_000, "the load to go on", timeout_s=120)
        self.assertIsNone(self.load.status, self.load.output)

    def end_load(self):
        self.machine.run("touch /tmp/stop")
        self.assertEqual(self.load.wait(180), 0, self.load.output)
