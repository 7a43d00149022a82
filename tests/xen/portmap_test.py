# SPDX-License-Identifier: BSD-2-Clause
"""The portmap in the hypervisor: the conformance suite on its hypercall, and what only a real hypervisor can be asked."""

import re

import case
from domu import DomU


class PortmapHypercall(case.XenTest):
    """Programs of tests/xen/portmap, in dom0 and in domUs. The conformance suite makes a real PV domain for each of its guests."""

    hypervisor = "patched"
    programs = ("portmap_call", "portmap_hypercall_conformance", "librettos-portmap")

    def call(self, text, *, check=True):
        """portmap_call in dom0; its output."""
        return self.machine.run(f"portmap_call {text}", check=check)

    def expect(self, error, text):
        self.call(f"--expect {error} {text}")

    def entry(self, protocol, port):
        """The table's entry, as the server maps it."""
        self.call("assign 0x7ff0")
        return int(re.search(r"entry=(\w+)", self.call(f"table {protocol} {port}")).group(1), 0)

    def domains(self):
        """Those that are dying included."""
        return set(line.split()[-5] for line in self.machine.run("xl list").splitlines()[1:])

    def test_conformance(self):
        before = self.domains()
        self.machine.run("portmap_hypercall_conformance --gtest_brief=1", timeout_s=900)
        self.eventually(lambda: self.domains() == before, "the guests' domains to be gone, not zombies")

    def test_control_domain_owns_no_ports(self):
        for operation in ("bind 6 80", "lease 6 8", "release 6 80 1"):
            self.expect("EPERM", operation)
        for operation in ("limit 0 5", "name 0 x", "limit 30000 5", "assign 30000"):
            self.expect("ENOENT", operation)

    def test_unknown_operations(self):
        for operation in (4, 15, 22, 31, 34, 4096):
            self.expect("EOPNOTSUPP", f"raw {operation}")

    def test_table_is_for_the_assigned_server_and_read_only(self):
        self.call("assign 0xffff")
        self.expect("EPERM", "table 6 80")
        self.call("assign 0x7ff0")
        self.assertIn("magic=0x50414d50", self.call("table 6 80"))
        self.expect("EBUSY", "map-writable")

    def test_server_does_not_change_while_it_maps(self):
        self.call("assign 0x7ff0")
        holder = self.machine.start_step("stdbuf -oL portmap_call hold 20")
        self.eventually(lambda: "frames=" in holder.output, "the table to be mapped")
        self.expect("EBUSY", "assign 0xffff")
        self.assertIn("another domain has the portmap's table mapped", self.assign("nobody", 1))
        self.assertEqual(holder.wait(60), 0)
        self.assign("nobody")

    def test_reserved_ports_stand_in_the_table(self):
        self.call("reserve 6 22 1")
        self.assertIn("state=2 owner=0", self.call("query 6 22"))
        self.assertEqual(self.entry(6, 22), 0x20000)
        self.call("unreserve 6 22 1")
        self.assertEqual(self.entry(6, 22), 0)

    def check_guest(self, kind):
        self.call("quarantine 3600")
        uuid = 'uuid = "a2a61fd7-35ab-4a3f-8f6b-90b8b4a4c5e%d"' % (kind == "pvh")
        with DomU(self.machine, f"ports-{kind}", kind=kind, settings=[uuid]) as guest:
            self.assertIn("port=80\n", guest.run("portmap_call bind 6 80"))
            first = int(re.search(r"first=(\d+)", guest.run("portmap_call lease 0 64")).group(1))
            self.assertEqual(self.entry(6, 80), 0x10000 | guest.domid)
            self.assertEqual(self.entry(17, first + 63), 0x1010000 | guest.domid)
            for operation in ("query 6 80", "table 6 80", "reserve 6 81 1", f"limit {guest.domid} 9", "assign 0x7ff0", "seed",
                              "quarantine 0", f"name {guest.domid} x", "release 6 81 1"):
                guest.run(f"portmap_call --expect EPERM {operation}")
            frame = re.search(r"first_frame=(\w+)", self.call("table 6 80")).group(1)
            self.assertNotEqual(guest.start_step(f"portmap_call map-frame {frame}").wait(60), 0)
            self.call(f"limit {guest.domid} 129")
            guest.run("portmap_call --expect EDQUOT bind 6 0")
            self.figure(f"bind and release by hypercall, {kind} domU", self.timed(guest))
            domid = guest.domid
        self.assertEqual(self.entry(6, 80), 0x30000 | domid, "quarantined")
        self.assertIn("quarantine_left_s=3", self.call("query 6 80"))
        with DomU(self.machine, f"other-{kind}") as other:
            other.run("portmap_call --expect EADDRINUSE bind 6 80")
        with DomU(self.machine, f"again-{kind}", kind=kind, settings=[uuid]) as again:
            self.assertIn("port=80\n", again.run("portmap_call bind 6 80"))
        self.call("quarantine 0")
        self.assertEqual(self.entry(6, 80), 0)
        self.call("quarantine 60")

    def timed(self, guest):
        """A claim of an ephemeral port and its release, from the guest's user space."""
        self.call(f"limit {guest.domid} 4096")
        return re.search(r"us=([\d.]+)", guest.run("portmap_call time 17 1000")).group(1) + " us"

    def test_pv_guest(self):
        self.check_guest("pv")

    def test_pvh_guest(self):
        self.check_guest("pvh")

    def tell(self, words, status=0):
        """The operator's command; what it says."""
        step = self.machine.start_step(f"librettos-portmap {words}")
        self.assertEqual(step.wait(60), status, step.output)
        return step.output

    def assign(self, domain, status=0):
        return self.tell(f"assign {domain}", status)

    def attach_a_guest(self, server):
        """The script's way: the guest's device in the driver domain, and that is assigned."""
        guest = DomU(self.machine, "attached").create()
        self.addCleanup(guest.destroy)
        self.machine.run(f"librettos-lvif-attach attached --backend {server.name}")
        back = f"/local/domain/{server.domid}/backend/lvif/{guest.domid}/0"
        self.assertEqual(self.machine.run(f"xenstore-read {back}/domain {back}/invited"), "attached\n1\n")
        guest.wait()
        guest.run("portmap_call bind 6 7100")
        self.assertIn("name=attached", self.call("query 6 7100"))
        self.tell(f"limit {guest.domid} 1")
        guest.run("portmap_call --expect EDQUOT bind 6 7101")
        self.tell(f"limit {guest.domid} 0")
        guest.run("portmap_call bind 6 7101")

    def check_driver_domain(self, assign):
        with DomU(self.machine, "driver") as guest:
            guest.run("portmap_call --expect EPERM table 6 80")
            assign(guest)
            self.assertIn("magic=0x50414d50", guest.run("portmap_call table 6 80"))
            guest.run("portmap_call --expect EBUSY map-writable")
            guest.run("portmap_call query 6 80")
            self.expect("EPERM", "table 6 80")
            self.assertIn("only the control domain may", guest.run("librettos-portmap assign 0; [ $? -eq 1 ]"))
            domid = guest.domid
        self.expect("EPERM", "table 6 80")
        self.eventually(lambda: "no such domain" in self.assign(domid, 1), "the domain to be gone")

    def test_driver_domain_maps_the_table_when_it_is_assigned(self):
        """By the operator's command, each time that it was started anew; gone, it is the server no more."""
        self.call("assign 0xffff")
        self.check_driver_domain(lambda domain: self.assign(domain.domid))
        self.check_driver_domain(self.attach_a_guest)
        for words in ("", "driver", "-1", "007", "32752", "1 2"):
            self.assign(words, 2)
        for words in ("", "name 1", "name 1 ''", "name 1 " + 64 * "x", "limit 1 131073", "limit 1 -1", "limit nobody 1", "explode"):
            self.tell(words, 2)
        self.call("assign 0x7ff0")
        self.call("table 6 80")


class PortmapHypercallWithFlask(PortmapHypercall):
    """The same answers where FLASK's policy says who may do what."""

    hypervisor, xen_options = "flask", ("flask=enforcing",)
    when_named = True

    def test_policy_is_enforced(self):
        self.assertIn("system_u:system_r:dom0_t", self.machine.run("xl list -Z"))
        self.machine.run("xl getenforce | grep Enforcing")
