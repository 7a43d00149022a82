# SPDX-License-Identifier: BSD-2-Clause
"""For groups with an echo service on the shared or a dedicated address: a TCP connection that is kept full both ways, its content compared."""

from machine import HERE, PATIENCE
from netserver import DEDICATED4

# Arguments: ADDRESS PORT. The last ones go in fragments. What does not come back is sent again: a datagram may get lost.
DATAGRAMS = """
import os, socket, sys
address, port = sys.argv[1:]
peer = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
peer.settimeout(5)
peer.connect((address, int(port)))
def comes_back(datagram):
    peer.send(datagram)
    try:
        while peer.recv(65536) != datagram:  # one that was given up
            pass
        return True
    except TimeoutError:
        return False
for size in (1, 1000, 1400, 4000, 9000):
    if not any(comes_back(os.urandom(size)) for _ in range(12)):
        sys.exit(f"{size} bytes did not come back as they were sent")
"""


class EchoLoad:
    """With a `server`."""

    def send_datagrams(self, address, port=7):
        """To an echo service of UDP, compared."""
        self.machine.put("datagrams.py", DATAGRAMS)
        self.server.on_the_wire(f"python3 -B /lab/datagrams.py {address} {port}", timeout_s=300)

    def start_load(self, address=DEDICATED4, port=7):
        self.machine.put("echo_load.py", (HERE / "echo_load.py").read_text())
        self.machine.run("rm -f /tmp/load /tmp/stop")
        self.load = self.machine.start_step(
            f"STILL_S={60 * PATIENCE} exec ip netns exec wire python3 -B /lab/echo_load.py {address} {port} /tmp/load /tmp/stop")
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

    def load_through_deaths(self, address, port=7):
        """Of the `server`'s engine, and of everything. Returns what loaded() says then."""
        self.start_load(address, port)
        self.server.kill_engine()
        self.progress()
        self.server.kill()
        self.server.start()
        self.progress()
        self.end_load()
        return self.loaded()

    def end_load(self):
        self.machine.run("touch /tmp/stop")
        self.assertEqual(self.load.wait(180), 0, self.load.output)
