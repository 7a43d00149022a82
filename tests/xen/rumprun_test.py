# SPDX-License-Identifier: BSD-2-Clause
"""Rumprun unikernels as guests: content, ports, deaths of the server, and what their traffic costs beside rumprun's own netfront."""

import pathlib

import case
from bridged import BRIDGED4, make_bridge_on_veth
from loads import EchoLoad
from netserver import DEDICATED4, DEDICATED6, SHARED4, SHARED6, NetServer
from unikernel import CALLED, READY, Unikernel, put_images, require_images

HERE = pathlib.Path(__file__).resolve().parent
OURS, ECHO, THEIRS = "services-lvif", "echo-lvif", "services-xenif"
PORT, SINK, SOURCE, BRIEF = 7000, 7001, 7002, 7003
ECHO_PORT = 7100
CLAIMED_LATER_S = 20  # a port that no socket has is given back within two seconds, by an idle machine's clock
STEP_BYTES = 600_000
ROUNDS, BULK_BYTES, REQUESTS = 5, 4_000_000, 200


def rate(machine, namespace, address, what, amount, port=PORT):
    said = machine.run(f"ip netns exec {namespace} python3 -B /lab/stream_rates.py {address} {port} {what} {amount}", timeout_s=180)
    return float(said)


class Rumprun(EchoLoad):
    """One guest on the shared address; others come and go."""

    programs = ("librettos-netserver", "librettosctl")
    authority = ""

    @classmethod
    def setUpClass(cls):
        require_images(OURS, ECHO)
        super().setUpClass()
        put_images(cls.machine, OURS, ECHO)
        cls.machine.put("stream_rates.py", (HERE / "stream_rates.py").read_text())
        cls.server = NetServer.start_for(cls, ipv6=True)
        cls.guest = Unikernel(cls.machine, "lr-services", OURS, f"services {PORT}")
        cls.addClassCleanup(cls.guest.destroy)
        cls.guest.start()

    def setUp(self):
        self.assertEqual(self.server.status()["portmap_authority"], self.authority)

    def another(self, name, port, said):
        """A unikernel beside it, that has said so."""
        other = Unikernel(self.machine, name, OURS, f"services {port}")
        self.addCleanup(other.destroy)
        return other.start(said)

    def becomes_owner(self, port, owner):
        self.eventually(lambda: self.server.owner_of(port) == owner, f"port {port} to be {owner}'s", timeout_s=CLAIMED_LATER_S)

    # --- traffic

    def test_ping(self):
        self.assertIn(" 0% packet loss", self.server.on_the_wire(f"ping -c 5 -W 5 {SHARED4}"))

    def test_bulk(self):
        for what in ("to", "from"):
            self.figure(f"{self.authority} keeps the portmap: bulk {what} a unikernel",
                        f"{rate(self.machine, 'wire', SHARED4, what, BULK_BYTES):.1f} Mbit/s")

    def test_echo_through_deaths(self):
        """Of the engine, and of everything; each byte is compared."""
        back, pause = self.load_through_deaths(SHARED4, PORT)
        self.figure(f"{self.authority} keeps the portmap: bytes echoed through two deaths; longest pause, s", f"{back}; {pause}")

    def echo(self, name, said):
        """A unikernel with tests/smoke/echo.c as it is for Linux, IPv6 sockets that take IPv4, that has said so."""
        other = Unikernel(self.machine, name, ECHO, f"smoke_echo {ECHO_PORT}")
        self.addCleanup(other.destroy)
        return other.start(said)

    def test_unmodified_program(self):
        self.echo("lr-echo", CALLED % "smoke_echo")
        self.becomes_owner(ECHO_PORT, "lr-echo")
        for address in (SHARED4, SHARED6):
            self.assertGreater(rate(self.machine, "wire", address, "requests", 20, ECHO_PORT), 0)

    def test_ipv6(self):
        """A port of both protocols that only sockets of IPv6 have: claimed, refused to others; each byte is compared."""
        self.echo("lr-echo", CALLED % "smoke_echo")
        for protocol in ("tcp", "udp"):
            self.eventually(lambda protocol=protocol: self.server.owner_of(ECHO_PORT, protocol) == "lr-echo", f"the {protocol} port to be claimed")
        self.start_load(SHARED6, ECHO_PORT)
        self.server.kill_engine()
        self.progress()
        self.end_load()
        self.send_datagrams(SHARED6, ECHO_PORT)
        self.echo("lr-loser", "smoke_echo: Address already in use")
        self.assertEqual(self.server.owner_of(ECHO_PORT), "lr-echo")

    def test_ipv6_of_its_own(self):
        """Attached by hand while it waits; fragments are put together by NetBSD, and it answers neighbours and pings itself."""
        own = self.echo("own-echo", "waiting until this domain has a device (librettosctl attach)")
        self.server.ctl("attach", own.name, "--ip", DEDICATED4)
        self.server.wait_for_tcp(ECHO_PORT, DEDICATED6)
        for size in (56, 20_000):
            self.assertIn(" 0% packet loss", self.server.on_the_wire(f"ping -6 -c 5 -W 10 -s {size} {DEDICATED6}"))
        self.start_load(DEDICATED6, ECHO_PORT)
        self.end_load()
        self.send_datagrams(DEDICATED6, ECHO_PORT)

    # --- ports

    def test_ports_have_owners(self):
        for port in (PORT, SINK, SOURCE):
            self.assertEqual(self.server.owner_of(port), "lr-services")
        self.assertEqual(self.server.owner_of(PORT, "udp"), "lr-services")
        for port in (SINK, SOURCE):
            self.assertNotEqual(self.server.owner_of(port, "udp"), "lr-services")

    def test_ephemeral_ports_are_leased(self):
        held = self.server.ctl("guest", "lr-services")
        for protocol in ("tcp", "udp"):
            leased = [last - first + 1 for first, last, state in held[f"{protocol}_ports"] if state == "leased"]
            self.assertEqual(sum(leased), 512, held)

    def test_port_of_another(self):
        """bind() fails with NetBSD's 48; what the loser has is its own and goes with it."""
        loser = self.another("lr-loser", PORT - 1, f"bind to port {PORT}: Address already in use")
        self.assertEqual(self.server.owner_of(PORT), "lr-services")
        self.assertIn(self.server.owner_of(PORT - 1), ("lr-loser", "quarantined"))
        loser.destroy()
        self.assertEqual(self.server.owner_of(PORT), "lr-services")
        self.eventually(lambda: self.server.guest("lr-loser") is None, "the server to let go of it")

    def test_released_with_its_socket(self):
        """Another unikernel may then have it."""
        self.becomes_owner(BRIEF, "lr-services")
        self.server.on_the_wire(f"python3 -c 'import socket; socket.create_connection((\"{SHARED4}\", {BRIEF}), 30).recv(1)'")
        self.eventually(lambda: self.server.owner_of(BRIEF) != "lr-services", "the port to be given back", timeout_s=CLAIMED_LATER_S)
        heir = self.another("lr-heir", BRIEF, READY)
        self.assertEqual(self.server.owner_of(BRIEF), "lr-heir")
        self.assertGreater(rate(self.machine, "wire", SHARED4, "to", STEP_BYTES, BRIEF), 0)
        self.assertEqual(self.server.owner_of(PORT), "lr-services")
        heir.destroy()


class RumprunOnStockXen(Rumprun, case.XenTest):
    """The server is the portmap's authority: claims go through the control ring."""

    hypervisor, authority = "stock", "server"


class RumprunOnPatchedXen(Rumprun, case.XenTest):
    """The hypervisor is: claims are hypercalls."""

    hypervisor, authority = "patched", "hypervisor"


class RumprunBesideNetfront(case.XenTest):
    """The same program and platform, with the platform's own interface over Linux' netback and a bridge. Wires as in BesideNetback; both
    unikernels live all the time, turns alternate. No ratio fails a test."""

    programs = ("librettos-netserver", "librettosctl")
    when_named = True

    @classmethod
    def setUpClass(cls):
        require_images(OURS, THEIRS)
        super().setUpClass()
        put_images(cls.machine, OURS, THEIRS)
        cls.machine.put("stream_rates.py", (HERE / "stream_rates.py").read_text())
        cls.server = NetServer.start_for(cls)
        make_bridge_on_veth(cls)
        ours = Unikernel(cls.machine, "lr-measured", OURS, f"services {PORT}")
        theirs = Unikernel(cls.machine, "bridged", THEIRS, f"services {PORT}", settings=['vif = ["bridge=br0"]'],
                           net={"if": "xenif0", "cloner": "true", "type": "inet", "method": "static", "addr": BRIDGED4, "mask": "24"})
        for guest in (ours, theirs):
            cls.addClassCleanup(guest.destroy)
            guest.start()
        cls.paths = (("the server", "wire", SHARED4), ("netfront and netback", "bridged", BRIDGED4))

    def compare(self, what, unit, measure, amount):
        found = {name: [] for name, _, _ in self.paths}
        for _ in range(ROUNDS):
            for name, namespace, address in self.paths:
                found[name].append(rate(self.machine, namespace, address, measure, amount))
        self.compare_figures(what, unit, found, self.paths[-1][0])

    def test_bulk_from_unikernel(self):
        self.compare("bulk TCP from a unikernel", "Mbit/s", "from", BULK_BYTES)

    def test_bulk_to_unikernel(self):
        self.compare("bulk TCP to a unikernel", "Mbit/s", "to", BULK_BYTES)

    def test_request_response(self):
        self.compare("echo of one byte", "ms", "requests", REQUESTS)
