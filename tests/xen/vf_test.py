# SPDX-License-Identifier: BSD-2-Clause
"""A domU between the rings and a VF of QEMU's igb, whose PF is the kernel's in dom0; an e1000e on the same hub is the wire."""

import re

import case
import nics
from domu import DomU
from loads import EchoLoad
from netserver import CONFIGURATION, DEDICATED4, NetServer, wire

VFS = ("0000:01:10.0", "0000:01:10.2")
MAKE_WIRE = "modprobe -a e1000e igb xen-pciback\n" + wire(f"""
ip link set {nics.peer_interface(1)} netns wire name wire0
ip link set {nics.interface_of(nics.nic(1))} name pf0
sysctl -qw net.ipv6.conf.pf0.disable_ipv6=1
ethtool -K pf0 gro off >/dev/null
""") + f"""
ip link set pf0 up
echo {len(VFS)} >/sys/class/net/pf0/device/sriov_numvfs
for vf in {" ".join(VFS)}; do xl pci-assignable-add $vf || exit; done
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


class BridgeVlans(case.XenTest):
    """Steering by a bridge, its unit tests, on a kernel whose bridges filter VLANs, as the machine's own may not."""

    programs = ("steering_test",)

    def test_suite(self):
        said = self.machine.run("steering_test", timeout_s=180)
        self.assertIn("[  PASSED  ]", said)
        self.assertNotIn("[  SKIPPED ]", said)


class IgbVf(EchoLoad, case.XenTest):
    """The server lives as long as the class, one domU until a test destroys it."""

    programs = ("librettos-netserver", "librettosctl", "librettos-guest", "smoke_echo")
    memory_mib = 2048  # with more the VFs' registers are above 4 GiB, and they stay in reset
    qemu_options = ("-device", "amd-iommu,intremap=on", *nics.igb_with_peer(1))

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = VfServer.start_for(cls)
        cls.start_guest([f'pci = ["{VFS[0]}"]'])

    @classmethod
    def start_guest(cls, settings=()):
        cls.guest = DomU(cls.machine, "lr-own", memory_mib=320, settings=settings, arguments="iommu=soft swiotlb=4096")
        cls.addClassCleanup(cls.guest.destroy)
        cls.guest.start()
        cls.guest.program = cls.guest.start_step(ECHO, timeout_s=3600)
        cls.machine.wait_until(f"ip netns exec wire python3 -c 'import socket; socket.create_connection((\"{DEDICATED4}\", 7), 2)'",
                               "the echo service of the domU", timeout_s=120)

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


def _add_tests():
    for step in STEPS_THERE + STEPS_BACK:
        setattr(IgbVf, f"test_server_killed_while_{step.replace('-', '_')}", lambda self, step=step: self.killed_at(step))


_add_tests()
