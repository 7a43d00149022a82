# SPDX-License-Identifier: BSD-2-Clause
"""A domU between the rings and a VF of QEMU's igb, whose PF is the kernel's in dom0; an e1000e on the same hub is the wire."""

import re

import case
import nics
from domu import DomU
from loads import EchoLoad
from machine import HERE
from netserver import CONFIGURATION, DEDICATED4, WIRE4, NetServer, wire

VFS = ("0000:01:10.0", "0000:01:10.2")
MAKE_WIRE = "modprobe -a e1000e igb xen-pciback\n" + wire(f"""
ip link set {nics.peer_interface(1)} netns wire name wire0
ip link set {nics.interface_of(nics.nic(1))} down name pf0
sysctl -qw net.ipv6.conf.pf0.disable_ipv6=1
ethtool -K pf0 gro off >/dev/null
""") + f"""
ip link set pf0 up
[ -e /sys/class/net/pf0/device/virtfn0 ] || echo {len(VFS)} >/sys/class/net/pf0/device/sriov_numvfs
for vf in {" ".join(VFS)}; do xl pci-assignable-list | grep -q $vf || xl pci-assignable-add $vf || exit; done
"""
VLAN, OTHER_VLAN = 42, 77
TAG_WIRE = f"""
ip -n wire addr flush dev wire0
ip -n wire link add link wire0 name tagged type vlan id {VLAN}
ip -n wire addr add {WIRE4}/24 dev tagged
ip -n wire link set tagged up
"""
DIRECT = f"""
[direct]
steering = "kernel"
pf = "pf0"
vfs = [{", ".join(f'"{vf}"' for vf in VFS)}]
"""
STEPS_THERE = ("giving", "preparing", "steering", "committing")  # and draining, which lasts for a moment
STEPS_BACK = ("returning", "steering-back", "releasing", "taking")
STEPS_OF_THE_GUEST = ("preparing", "committing", "returning", "releasing")
ECHO = "exec librettos-guest run --name lr-own --dedicated --vf eth0 -- smoke_echo 7"
STEP_MS = 60_000  # for each answer of the guest: its kernel brings a VF up, under emulation


class VfServer(NetServer):
    def make_wire(self):
        self.machine.run(MAKE_WIRE, timeout_s=120)
        self.machine.put("netserver.toml", CONFIGURATION % "pf0" + DIRECT)


class TaggingServer(VfServer):
    """In the VLAN; the peer is in it, too, with the interface `tagged`."""

    def make_wire(self):
        super().make_wire()
        self.machine.run(TAG_WIRE)
        self.machine.put("netserver.toml", (CONFIGURATION % "pf0").replace("[network]", f"[network]\nvlan = {VLAN}") + DIRECT)


class BridgeVlans(case.XenTest):
    """Unit tests of steering, on a kernel that has VLANs and whose bridges filter them, as the machine's own may not."""

    programs = ("steering_test", "kernel_pf_steering_test")

    def passes(self, program):
        said = self.machine.run(program, timeout_s=180)
        self.assertIn("[  PASSED  ]", said)
        self.assertNotIn("[  SKIPPED ]", said)

    def test_suite(self):
        self.passes("steering_test")

    def test_vlan_of_a_pf(self):
        self.passes("kernel_pf_steering_test")


class OnIgb(EchoLoad):
    """The server lives as long as the class, one domU until a test destroys it."""

    programs = ("librettos-netserver", "librettosctl", "librettos-guest", "smoke_echo")
    memory_mib = 2048  # with more the VFs' registers are above 4 GiB, and they stay in reset
    qemu_options = ("-device", "amd-iommu,intremap=on", *nics.igb_with_peer(1))
    make_server = VfServer

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = cls.make_server.start_for(cls)
        cls.start_guest([f'pci = ["{VFS[0]}"]'])

    @classmethod
    def start_guest(cls, settings=()):
        cls.guest = DomU(cls.machine, "lr-own", memory_mib=320, settings=settings, arguments="iommu=soft swiotlb=4096")
        cls.addClassCleanup(cls.guest.destroy)
        cls.guest.start()
        cls.guest.program = cls.guest.start_step(ECHO, timeout_s=3600)
        cls.server.wait_for_tcp(7, DEDICATED4, timeout_s=120)

    # --- what they say

    def shown(self):
        return self.server.ctl("guest", "lr-own")

    def switch(self, to):
        """librettosctl switch, until it is over."""
        said = self.machine.run(f"librettosctl switch lr-own {to} --timeout {STEP_MS}", timeout_s=STEP_MS / 1000 * 4)
        self.assertEqual(self.shown()["path"], to, said)

    def path_becomes(self, path):
        self.eventually(lambda: self.shown()["path"] == path, f"the path to be {path}", timeout_s=180)

    def address_of_vf(self, number):
        return re.search(rf"vf {number} +link/ether (\S+)", self.machine.run("ip link show pf0"))[1]

    def frames_of_pf(self):
        return int(self.machine.run("cat /sys/class/net/pf0/statistics/rx_packets"))

    # --- tests

    def test_there_and_back_under_load(self):
        self.start_load()
        for _ in range(3):
            self.switch("direct")
            self.assertEqual(self.address_of_vf(0), self.shown()["mac"])
            frames, back = self.frames_of_pf(), self.loaded()[0]
            self.progress()
            # An echo that came back is at least one frame of at most 1,448 bytes that the PF would have seen.
            self.assertLess(self.frames_of_pf() - frames, (self.loaded()[0] - back) / 1448 / 4)
            self.switch("server")
            self.assertNotEqual(self.address_of_vf(0), self.shown()["mac"])
            frames = self.frames_of_pf()
            self.progress()
            self.assertGreater(self.frames_of_pf() - frames, 100)
        self.end_load()
        self.figure("longest pause of TCP over 3 switches each way, s", self.loaded()[1])
        for step in self.shown()["switch"]["last"]["steps"]:
            self.figure(f"step of a switch back, ms: {step['step']}", step["took_us"] / 1000)

    def test_server_killed_while_direct(self):
        """Frames go past it."""
        self.start_load()
        self.switch("direct")
        self.server.kill()
        self.progress()
        self.server.start()
        self.path_becomes("direct")
        self.progress()
        self.switch("server")
        self.progress()
        self.end_load()


class IgbVf(OnIgb, case.XenTest):
    """A wire without tags."""

    def signal_guest(self, number):
        self.guest.run(f"killall -{number} librettos-guest")

    def signal_holder(self, number):
        self.machine.run(f"kill -{number} $(cat /run/holder.pid)")

    def at_step(self, step):
        self.eventually(lambda: self.shown()["switch"]["step"] == step, f"the switch to be at {step}")

    def get_to(self, step):
        """Leaves a switch there, or back, in the middle of that step: who would have to act, guest or holder, is stopped."""
        back = step in STEPS_BACK
        if back:
            self.switch("direct")
        waits_for = {name: self.signal_guest if name in STEPS_OF_THE_GUEST else self.signal_holder for name in STEPS_THERE + STEPS_BACK}
        line = STEPS_BACK if back else STEPS_THERE if step == "giving" else STEPS_THERE[1:]
        waits_for[line[0]]("STOP")
        switch = self.machine.start_step(f"librettosctl switch lr-own {'server' if back else 'direct'} --timeout {STEP_MS}")
        for now, then in zip(line, (*line[1:], None)):
            self.at_step(now)
            if now == step:
                return switch
            waits_for[then]("STOP")
            waits_for[now]("CONT")
        raise AssertionError(step)

    def killed_at(self, step):
        self.start_load()
        switch = self.get_to(step)
        self.server.kill()
        self.signal_guest("CONT")
        self.server.start()
        switch.wait(STEP_MS / 1000 * 8)
        # A switch that the guest was ready for is completed, others are undone.
        ends = "direct" if step in ("steering", "committing") else "server"
        self.path_becomes(ends)
        self.progress()
        if ends == "direct":
            self.switch("server")
        self.assertEqual([vf["guest"] for vf in self.server.ctl("vf")], [None, None])
        self.switch("direct")
        self.progress()
        self.switch("server")
        self.end_load()

    def test_vf_of_a_destroyed_domain(self):
        """Its VF is taken back and goes to the next domain, while that runs."""
        self.switch("direct")
        domid = self.guest.domid
        self.guest.destroy()
        self.eventually(lambda: self.server.guest("lr-own") is None, "the server to let go of it")
        self.assertEqual([vf["guest"] for vf in self.server.ctl("vf")], [None, None])
        self.assertTrue(self.address_of_vf(0).startswith("02:4c:56:"))
        self.assertNotIn(f" {domid} ", self.machine.run("xl list"))
        self.machine.wait_until(f"xl pci-assignable-list | grep -q {VFS[0]}", "the VF to be free in dom0")
        self.assertEqual(self.server.status()["resources"]["mappings"], 0)
        self.start_guest(['passthrough = "enabled"'])
        self.machine.run(f"xl pci-attach lr-own {VFS[0]}", timeout_s=120)
        self.eventually(lambda: "eth0" in self.guest.run("ip link"), "the VF in the domU", timeout_s=90)
        self.start_load()
        self.switch("direct")
        self.progress()
        self.switch("server")
        self.progress()
        self.end_load()


class IgbVlan(OnIgb, case.XenTest):
    """All of the wire's frames carry a tag; the guest, which knows of none, is in the VLAN by the rings and by its VF."""

    make_server = TaggingServer

    def vlans_of_the_pf(self):
        """Interfaces of the PF that are a VLAN: [(name, VLAN), ...]."""
        said = self.machine.run("ip -d -o link show type vlan")
        return [(name, int(vlan)) for name, vlan in re.findall(r"^\d+: (\S+)@pf0: .* id (\d+)", said, re.MULTILINE)]

    def datagrams_for_nobody(self):
        """Those that have reached the guest's program: it has a network namespace of its own."""
        names, values = (line.split() for line in self.guest.run("grep ^Udp: /proc/$(pidof smoke_echo)/net/snmp").splitlines())
        return int(values[names.index("NoPorts")])

    def send_datagrams(self, tag, count):
        """To the guest, for a port where nothing listens."""
        self.machine.put("tagged_datagrams.py", (HERE / "tagged_datagrams.py").read_text())
        self.server.on_the_wire(f"python3 -B /lab/tagged_datagrams.py wire0 {WIRE4} {DEDICATED4} {self.shown()['mac']} 9 {tag} {count}")

    def hears_its_vlan_alone(self):
        before = self.datagrams_for_nobody()
        for tag in (OTHER_VLAN, 0):
            self.send_datagrams(tag, 20)
        self.send_datagrams(VLAN, 5)  # and these came after those
        self.eventually(lambda: self.datagrams_for_nobody() >= before + 5, "datagrams in the VLAN to reach the guest")
        self.assertEqual(self.datagrams_for_nobody(), before + 5)

    def speaks_with_its_tag_alone(self):
        self.start_load()
        counted = self.server.on_the_wire(
            f"sh -c 'tcpdump -i wire0 -e -nn -c 400 ether src {self.shown()['mac']} 2>/dev/null | grep -c \"vlan {VLAN},\"'", timeout_s=90)
        self.assertEqual(int(counted), 400)
        self.end_load()

    def test_the_guest_is_in_the_vlan_by_either_way(self):
        for to in ("direct", "server"):
            self.switch(to)
            self.hears_its_vlan_alone()
            self.speaks_with_its_tag_alone()

    def test_the_pf_is_in_the_vlan_while_the_server_runs(self):
        """By an interface that is made once, and found again after a kill."""
        made = self.vlans_of_the_pf()
        self.assertEqual([vlan for _, vlan in made], [VLAN])
        self.server.kill()
        self.assertEqual(self.vlans_of_the_pf(), made)
        self.server.start()
        self.assertEqual(self.vlans_of_the_pf(), made)
        self.server.stop()
        self.assertEqual(self.vlans_of_the_pf(), [])
        self.server.start()
        self.assertEqual([vlan for _, vlan in self.vlans_of_the_pf()], [VLAN])
        self.switch("server")
        self.start_load()
        self.end_load()


def _add_tests():
    for step in STEPS_THERE + STEPS_BACK:
        setattr(IgbVf, f"test_server_killed_while_{step.replace('-', '_')}", lambda self, step=step: self.killed_at(step))


_add_tests()
