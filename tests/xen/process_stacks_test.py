# SPDX-License-Identifier: BSD-2-Clause
"""Guests whose TCP/IP stack is in a process of their domU: lwIP, and a NetBSD rump kernel for who has one (docs/rump.md)."""

import json
import os
import pathlib
import unittest

import case
import overlay
from accounts import Accounts
from domu import DomU
from loads import EchoLoad
from machine import Failure
from netserver import SHARED4, SHARED6, WIRE4, NetServer
from rump_build import IPV6, has_library

ECHO, SINK, ECHO6 = 7, 9, 11
GUEST, OTHER, LATE = "lr-stack", "lr-other", "late-stack"
SAID, PID, COMMANDS = "/run/said", "/run/stack.pid", "/run/commands"
GRANTS = "/sys/module/xen_gntalloc/parameters/limit"
BULK_MB = 2


class ProcessStack(EchoLoad, Accounts):
    """A domU whose program serves on the shared address, and another. The classes below say which stack and which hypervisor."""

    authority = ""
    initramfs = "/tmp/domu.cpio"
    before = "true"  # of the program, in the domU
    program = ""
    ports = ()
    port6 = 0
    refusal = (0, "")  # exit status, and what it says, of a program whose ports are another's

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.prepare()
        cls.server = NetServer.start_for(cls, ipv6=True)
        cls.guest, cls.other = (cls.domain(name) for name in (GUEST, OTHER))
        for domain in (cls.guest, cls.other):
            domain.wait().run(cls.before)
        cls.start_program()

    @classmethod
    def prepare(cls):
        """The machine, for its domUs."""

    @classmethod
    def domain(cls, name):
        domain = DomU(cls.machine, name, initramfs=cls.initramfs)
        cls.addClassCleanup(domain.destroy)
        return domain.create()

    @classmethod
    def start_program(cls):
        cls.launch(cls.guest)
        try:
            cls.server.wait_for_tcp(ECHO)
        except Failure as failure:
            raise Failure(f"{failure}\n{cls.said(cls.guest)}") from None

    @classmethod
    def launch(cls, domain):
        return domain.start_step(f"echo $$ >{PID}; exec {cls.program} >>{SAID} 2>&1", timeout_s=3600)

    @staticmethod
    def said(domain):
        return domain.run(f"cat {SAID}", check=False)

    def setUp(self):
        self.assertEqual(self.server.status()["portmap_authority"], self.authority)

    # --- traffic

    def test_echo_through_deaths(self):
        """Of the engine, and of everything; each byte is compared."""
        back, pause = self.load_through_deaths(SHARED4)
        self.figure(f"{type(self).__name__}: bytes echoed through two deaths; longest pause, s", f"{back}; {pause}")

    def test_ipv6(self):
        if self.port6 == 0:
            self.skipTest("this rump kernel has no librumpnet_netinet6")
        self.server.wait_for_tcp(self.port6, SHARED6)
        self.assertEqual(self.server.owner_of(self.port6), GUEST)
        self.start_load(SHARED6, self.port6)
        self.server.kill_engine()
        self.progress()
        self.end_load()

    def bulk_to_the_wire(self):
        """Through an echo server there, compared. The stack chooses its port, which the server lets pass only if it is the guest's."""
        raise NotImplementedError

    def test_bulk_to_the_wire(self):
        self.machine.start_step(f"echo $$ >/run/echo.pid; exec ip netns exec wire smoke_echo {ECHO}")
        self.addCleanup(self.machine.run, "kill $(cat /run/echo.pid)")
        self.server.wait_for_tcp(ECHO, WIRE4)
        self.bulk_to_the_wire()

    # --- ports

    def test_ports_have_owners(self):
        for protocol, port in self.ports:
            self.assertEqual(self.server.owner_of(port, protocol), GUEST)

    def check_refused(self, domain, step):
        """The program has become a guest, and ended since the port is another's."""
        status = step.wait(180)
        said = self.said(domain)
        self.assertEqual(status, self.refusal[0], said)
        self.assertIn(self.refusal[1], said)

    def test_port_of_another(self):
        """Whoever binds it is told so, and nothing changes for who has it."""
        self.other.run(f"rm -f {SAID}")
        self.check_refused(self.other, self.launch(self.other))
        self.assertEqual(self.server.owner_of(ECHO), GUEST)
        self.start_load(SHARED4)
        self.end_load()

    # --- the program and its domain

    def test_second_program(self):
        """A domain is one guest."""
        step = self.guest.start_step(f"exec {self.program} 2>&1", timeout_s=120)
        self.assertNotEqual(step.wait(180), 0, step.output)
        self.assertIn("another program uses this domain's device", step.output)
        self.assertEqual(self.server.owner_of(ECHO), GUEST)

    def test_program_killed(self):
        """The domain lives on: the next program has its device and its ports, and nothing is left of the first one."""
        before = self.held(self.guest.domid)
        self.guest.run(f"kill -9 $(cat {PID})")
        self.start_program()
        self.start_load(SHARED4)
        self.end_load()
        for protocol, port in self.ports:
            self.assertEqual(self.server.owner_of(port, protocol), GUEST)
        self.eventually(lambda: self.held(self.guest.domid) == before, "everything of the first program to be given back")

    def test_attached_later(self):
        """A program that runs before its domain is a guest waits, and is served when it has become one."""
        domain = self.domain(LATE)
        domain.wait().run(self.before)
        step = self.launch(domain)
        domain.wait_until(f"grep -q 'librettosctl attach {LATE}' {SAID}", "the program to wait")
        self.assertIsNone(step.status)
        self.server.ctl("attach", LATE)
        self.check_refused(domain, step)


class Lwip(ProcessStack):
    """Rings of 4 MiB take more grants than Linux gives a domain's programs by default."""

    programs = ("librettos-netserver", "librettosctl", "smoke_echo", "lwip_guest", "librettos-rump-virt.so")
    before = f"echo 8192 >{GRANTS}"
    program = f"lwip_guest - shared echo {ECHO}"
    ports = (("tcp", ECHO), ("udp", ECHO))
    port6 = ECHO
    refusal = (3, "bind TCP")

    def test_datagrams(self):
        for address in (SHARED4, SHARED6):
            self.send_datagrams(address, ECHO)

    def test_limit_of_grants(self):
        """Reached, it is waited for until the operator raises it."""
        self.addCleanup(self.other.run, self.before)
        self.other.run(f"echo 1024 >{GRANTS}; rm -f {SAID}")
        step = self.launch(self.other)
        self.other.wait_until(f"grep -q 'no grants for .* pages' {SAID}", "the program to say what is missing")
        self.assertIsNone(step.status)
        self.other.run(self.before)
        self.check_refused(self.other, step)

    def bulk_to_the_wire(self):
        said = self.other.run(f"lwip_guest - shared transfer {WIRE4} {ECHO} {BULK_MB * 1_000_000 // 4} 4", timeout_s=300)
        self.assertIn("4 connections", said)


class RumpKernel(ProcessStack):
    """Of the folder $XEN_RUMP."""

    programs = ("librettos-netserver", "librettosctl", "smoke_echo", "librettos-rump-virt.so")
    initramfs = "/tmp/rump-domu.cpio"
    before = f"mkfifo {COMMANDS}"
    program = ("env LD_LIBRARY_PATH=/opt/librettos/lib/rump LD_PRELOAD=/opt/librettos/lib/librettos/librettos-rump-virt.so rump_peer librettos "
               f"<>{COMMANDS}")
    ports = (("tcp", ECHO), ("tcp", SINK))
    refusal = (1, "listen: error 48 of NetBSD's")

    @classmethod
    def setUpClass(cls):
        if "XEN_RUMP" not in os.environ:
            raise unittest.SkipTest("no rump kernel: XEN_RUMP names a folder with its include and lib (docs/rump.md)")
        cls.rump = pathlib.Path(os.environ["XEN_RUMP"]).resolve()
        cls.port6 = ECHO6 if has_library(cls.rump, IPV6) else 0
        super().setUpClass()

    @classmethod
    def prepare(cls):
        part = overlay.for_rump_kernel(cls.rump, cls.lab.work, cls.lab.folder)
        cls.machine.put("rump.cpio", part.read_bytes())
        cls.machine.run(f"cat /tmp/domu.cpio /lab/rump.cpio >{cls.initramfs}")

    def bulk_to_the_wire(self):
        before = len(self.answers())
        self.guest.run(f"echo 'echo {WIRE4} {BULK_MB}' >{COMMANDS}")
        self.eventually(lambda: len(self.answers()) > before, "the rump kernel's transfer", timeout_s=180)
        self.assertGreater(self.answers()[-1]["mbit_per_s"], 0)

    def answers(self):
        return [json.loads(line) for line in self.said(self.guest).splitlines() if line.startswith("{")]

    def test_ephemeral_ports_are_leased(self):
        held = self.server.ctl("guest", GUEST)
        for protocol in ("tcp", "udp"):
            leased = [last - first + 1 for first, last, state in held[f"{protocol}_ports"] if state == "leased"]
            self.assertEqual(sum(leased), 512, held)


class LwipOnStockXen(Lwip, case.XenTest):
    """The server is the portmap's authority: claims go through the control ring."""

    authority = "server"


class LwipOnPatchedXen(Lwip, case.XenTest):
    """The hypervisor is: claims are hypercalls."""

    hypervisor, authority = "patched", "hypervisor"


class RumpKernelOnStockXen(RumpKernel, case.XenTest):
    """As LwipOnStockXen."""

    authority = "server"


class RumpKernelOnPatchedXen(RumpKernel, case.XenTest):
    """As LwipOnPatchedXen."""

    hypervisor, authority = "patched", "hypervisor"
