# SPDX-License-Identifier: BSD-2-Clause
"""The lab itself: a PV dom0 with Xen's tools, PV and PVH domUs that start, talk by event channel and leave nothing behind."""

import case
from domu import DomU, pvh_obstacle

# A channel from dom0 to itself: bound, rung, seen, and closed with the process.
RING_A_CHANNEL = """
import ctypes, select
xen = ctypes.CDLL("libxenevtchn.so.1", use_errno=True)
xen.xenevtchn_open.restype = ctypes.c_void_p
handles = [ctypes.c_void_p(xen.xenevtchn_open(None, 0)) for _ in range(2)]
unbound = xen.xenevtchn_bind_unbound_port(handles[0], 0)
bound = xen.xenevtchn_bind_interdomain(handles[1], 0, unbound)
assert unbound > 0 and bound > 0, (unbound, bound)
for _ in range(100):
    assert xen.xenevtchn_notify(handles[1], bound) == 0
    assert select.select([xen.xenevtchn_fd(handles[0])], [], [], 10)[0], "no event"
    assert xen.xenevtchn_pending(handles[0]) == unbound
    assert xen.xenevtchn_unmask(handles[0], unbound) == 0
print("rung 100 times")
"""


class Toolstack(case.XenTest):
    """No program of ours is needed."""

    def domains(self):
        """Domain ids, those that are dying included."""
        return {int(line.split()[-5]) for line in self.machine.run("xl list").splitlines()[1:]}

    def check_life(self, kind, guest_type):
        before = self.domains()
        with DomU(self.machine, f"life-{kind}", kind=kind) as guest:
            self.assertIn(guest.domid, self.domains())
            self.assertEqual(guest.run("cat /sys/hypervisor/guest_type").strip(), guest_type)
            for device in ("evtchn", "gntalloc", "gntdev", "privcmd"):
                guest.run(f"test -c /dev/xen/{device}")
            # Longer than a value of xenstore: by the agent's chunks.
            self.assertEqual(guest.run("seq 2000"), "".join(f"{number}\n" for number in range(1, 2001)))
            self.assertEqual(guest.start_step("exit 7").wait(60), 7)
            domid = guest.domid
        self.machine.wait_until(f"! xenstore-exists /local/domain/{domid}", "its store directory to go")
        self.eventually(lambda: self.domains() == before, "the domain to be gone, not a zombie")

    def test_dom0(self):
        self.assertEqual(self.machine.run("cat /sys/hypervisor/guest_type").strip(), "PV")
        self.assertIn(0, self.domains())

    def test_event_channel(self):
        self.machine.put("ring.py", RING_A_CHANNEL)
        self.assertIn("rung 100 times", self.machine.run("python3 /lab/ring.py"))

    def test_pv(self):
        self.check_life("pv", "PV")

    def test_pvh(self):
        if why_not := pvh_obstacle(self.machine):
            self.skipTest(why_not)
        self.check_life("pvh", "PVH")

    def test_a_domain_that_ends_by_itself(self):
        before = self.domains()
        with DomU(self.machine, "short") as guest:
            guest.start_step("poweroff -f")
            self.eventually(lambda: self.domains() == before, "the domain to be gone")
            self.assertFalse(self.machine.status_of(f"xl list {guest.domid}") == 0)
