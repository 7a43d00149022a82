# SPDX-License-Identifier: BSD-2-Clause
"""The network server in a PV driver domain, on a Linux interface; its guests are other domUs, their devices made in dom0."""

import case
import overlay
from domu import DomU
from download import NGINX, Downloads
from netserver import CONFIGURATION, MAKE_WIRE, SHARED4, NetServer

# What the driver domain has for a NIC: an interface of Linux' netback, at a bridge with the wire.
MAKE_BRIDGE = MAKE_WIRE + """
modprobe xen-netback
ip link add netbr type bridge
sysctl -qw net.ipv6.conf.netbr.disable_ipv6=1
ip link set netbr up
ip link set port0 master netbr
cat /tmp/domu.cpio /lab/driver-domain.cpio >/tmp/driver-domain.cpio
"""
MAKE_PORT = "echo 1 >/proc/sys/net/ipv6/conf/eth0/disable_ipv6; ip link set eth0 up"
LOG = "/tmp/server.log"
NO_PORTMAP = 3  # exit status of librettos-portmap where the hypervisor keeps none
START = f"""
mkdir -p /run/librettos
cat >/tmp/netserver.toml <<'END'
{CONFIGURATION % "eth0"}
END
echo $$ >/run/holder.pid
exec librettos-netserver --config /tmp/netserver.toml >>{LOG} 2>&1
"""


class DriverDomainServer(NetServer):
    """Its domain is there from make_wire() on."""

    start_command = START

    def __init__(self, machine):
        super().__init__(machine, host=DomU(machine, "net", memory_mib=768, settings=["driver_domain = 1", 'vif = ["bridge=netbr"]'],
                                            initramfs="/tmp/driver-domain.cpio"))

    def make_wire(self):
        self.machine.run(MAKE_BRIDGE)
        self.start_domain()

    def start_domain(self):
        self.host.start()
        self.host.run(MAKE_PORT)
        self.machine.run(f"librettos-portmap assign {self.host.domid} || [ $? -eq {NO_PORTMAP} ]")

    def launch(self):
        return self.host.start_step(self.start_command, timeout_s=3600)

    def clean_up(self):
        self.host.destroy()
        self.machine.run("ip netns del wire; ip link del netbr")

    def log(self):
        return self.host.run(f"tail -c 3000 {LOG}", check=False)


class DriverDomain(Downloads):
    """The classes below say on which hypervisor, and so who keeps the portmap."""

    programs = ("librettos-netserver", "librettosctl", "librettos-guest", "librettos-portmap")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        archive = overlay.for_driver_domain(cls.lab.build, cls.lab.work, cls.lab.folder)
        cls.machine.put("driver-domain.cpio", archive.read_bytes())
        cls.server = DriverDomainServer(cls.machine)
        cls.addClassCleanup(cls.server.clean_up)
        cls.server.make_wire()
        cls.server.start()
        cls.web = cls.start_guest("lr-web", NGINX)
        cls.wait_for_web()
        cls.sha256 = cls.web.run("sha256sum /www/file").split()[0]

    @classmethod
    def start_guest(cls, name, program):
        guest = DomU(cls.machine, name)
        cls.addClassCleanup(guest.destroy)
        guest.start()
        cls.attach(name)
        guest.program = guest.start_step(program, timeout_s=3600)
        return guest

    @classmethod
    def attach(cls, name):
        cls.machine.run(f"librettos-lvif-attach {name} --backend net")

    @classmethod
    def wait_for_web(cls):
        cls.machine.wait_until(f"ip netns exec wire curl -sS --fail --max-time 5 http://{SHARED4}/", "nginx at the shared address", timeout_s=120)

    def owner_of_port(self):
        return self.server.port(80)["owner"]

    def test_authority(self):
        self.assertEqual(self.server.status()["portmap_authority"], self.authority)
        self.assertEqual(self.owner_of_port(), "lr-web")

    def test_everything_killed_in_a_download(self):
        super().test_everything_killed_in_a_download()
        self.assertEqual(self.owner_of_port(), "lr-web")

    def test_attached_twice(self):
        step = self.machine.start_step("librettos-lvif-attach lr-web --backend net")
        self.assertEqual(step.wait(60), 1)
        self.assertIn("lr-web has a device of this class already", step.output)

    def test_guest_destroyed(self):
        before = self.server.status()["resources"]
        victim = self.start_guest("lr-victim", "exec librettos-guest run -- httpd -f -p 81 -h /")
        self.eventually(lambda: (self.server.port(81) or {}).get("owner") == "lr-victim", "the victim's port", timeout_s=60)
        victim.destroy()
        self.eventually(lambda: self.server.guest("lr-victim") is None, "the server to let go of it")
        self.eventually(lambda: self.server.status()["resources"] == before, "everything to be given back")
        self.assertEqual(self.server.port(81)["state"], "quarantined")

    def test_started_anew(self):
        """The driver domain ends, and another takes its place: its guests are attached again, and go on."""
        self.server.host.destroy()
        self.server.start_domain()
        self.server.start()
        self.assertEqual(self.owner_of_port(), self.owner_after_a_new_start)
        self.attach("lr-web")
        self.wait_for_web()
        self.assertEqual(self.owner_of_port(), "lr-web")
        self.check_file(self.fetch())


class DriverDomainOnStockXen(DriverDomain, case.XenTest):
    """The server keeps the portmap, in its domain's part of the store, which goes with it."""

    authority, owner_after_a_new_start = "server", None


class DriverDomainOnPatchedXen(DriverDomain, case.XenTest):
    """The hypervisor does, and outlives the driver domain. It takes names and limits from dom0."""

    hypervisor = "patched"
    authority, owner_after_a_new_start = "hypervisor", "lr-web"

    def test_limits_are_dom0s(self):
        step = self.server.host.start_step("librettosctl limit lr-web --ports 5")
        self.assertEqual(step.wait(60), 1, step.output)
        self.assertIn(f"there: librettos-portmap limit {self.web.domid} 5", step.output.replace("\n", " "))
        self.machine.run(f"librettos-portmap limit {self.web.domid} 600")
        self.assertEqual(self.server.port(80)["owner_limit"], 600)
