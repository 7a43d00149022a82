# SPDX-License-Identifier: BSD-2-Clause
"""librettos-netserver in dom0 or a driver domain, with a wire: the peer is `wire0` in the namespace `wire`, the server's port `port0` beside it."""

import json
import shlex

from machine import Failure

WIRE4, SHARED4 = "10.9.0.1", "10.9.0.2"
DEDICATED4 = "10.9.0.20"
WIRE6, SHARED6, DEDICATED6 = "fd09::1", "fd09::2", "fd09::20"


def wire(make_interface):
    """Commands for a namespace `wire` whose interface wire0 is what these put there."""
    return f"""
ip netns add wire
ip -n wire link set lo up
{make_interface}
ip netns exec wire ethtool -K wire0 tx off tso off gso off gro off >/dev/null
ip -n wire addr add {WIRE4}/24 dev wire0
ip -n wire link set wire0 up
"""


MAKE_WIRE = wire("""
ip link add wire0 netns wire type veth peer name port0
sysctl -qw net.ipv6.conf.port0.disable_ipv6=1
ethtool -K port0 tx off tso off gso off gro on >/dev/null
""") + "ip link set port0 up\n"

CONFIGURATION = f"""
hypervisor = "xen"
[port]
device = "%s"
memory_mib = 128
buffers = 8192
[network]
ipv4 = "{SHARED4}/24"
gateway4 = "{WIRE4}"
[dedicated]
ipv4 = ["{DEDICATED4}"]
[attach]
names = ["lr-*"]
dedicated = ["lr-own*"]
[limits]
ring_bytes = 8388608
[paths]
api_socket = "/run/librettos/control.sock"
stats = "/run/librettos/stats"
"""


class NetServer:
    """One per machine. It runs in `host`: dom0, or a DomU. `ipv6`: the network has that, too."""

    start_command = "mkdir -p /run/librettos; echo $$ >/run/holder.pid; exec librettos-netserver --config /lab/netserver.toml"

    def __init__(self, machine, host=None, ipv6=False):
        self.machine, self.host, self._ipv6, self._step = machine, host or machine, ipv6, None

    @classmethod
    def start_for(cls, group, ipv6=False):
        """One with its wire, running, that ends with the group of tests."""
        server = cls(group.machine, ipv6=ipv6)
        server.make_wire()
        group.addClassCleanup(server.clean_up)
        server.start()
        return server

    def make_wire(self):
        self.machine.run(MAKE_WIRE)
        configuration = CONFIGURATION % "port0"
        if self._ipv6:
            self.machine.run(f"ip -n wire addr add {WIRE6}/64 dev wire0 nodad")
            configuration = configuration.replace("[network]", f'[network]\nipv6 = "{SHARED6}/64"\ngateway6 = "{WIRE6}"')
            configuration = configuration.replace("[dedicated]", f'[dedicated]\nipv6 = ["{DEDICATED6}"]')
        self.machine.put("netserver.toml", configuration)

    def launch(self):
        """The step that is the server."""
        return self.host.start_step(self.start_command)

    def start(self):
        """Until it answers."""
        self._step = self.launch()
        try:
            self.host.wait_until("kill -0 $(cat /run/holder.pid) && librettosctl --json status", "librettos-netserver's answer",
                                    timeout_s=90)
        except Failure as failure:
            raise Failure(f"{failure}\n{self.log()[-3000:]}") from None

    def kill(self):
        """kill -9 of holder and engine at the same time."""
        self.host.run("holder=$(cat /run/holder.pid); kill -STOP $holder; kill -9 $(cat /proc/$holder/task/$holder/children) $holder")
        self._step.wait(30)

    def kill_engine(self):
        """kill -9 of the engine; returns when the next one answers."""
        before = self.status()
        self.host.run(f"kill -9 {before['pid']}")
        self.host.wait_until(f"librettosctl --json status | grep -q '\"engine_generation\":{before['engine_generation'] + 1}'", "the next engine")

    def stop(self):
        """Ends it in order."""
        self.host.run("kill $(cat /run/holder.pid)")
        self._step.wait(60)

    def end(self):
        """Of the server, if it runs."""
        if self._step is not None and self._step.status is None:
            self.stop()

    def clean_up(self):
        """Ends the server and takes the wire away."""
        self.end()
        self.machine.run("ip netns del wire")

    def log(self):
        return self._step.output if self._step else ""

    def ctl(self, *words):
        """`result` of librettosctl --json."""
        said = self.host.run(f"librettosctl --json {' '.join(shlex.quote(str(word)) for word in words)} || true")
        try:
            reply = json.loads(said)
        except json.JSONDecodeError:
            raise Failure(f"librettosctl {words}: {said}\n{self.log()[-2000:]}") from None
        if not reply["ok"]:
            raise Failure(f"librettosctl {words}: {reply['error']['message']}")
        return reply["result"]

    def status(self):
        return self.ctl("status")

    def guest(self, name):
        """What `guests` says about it, or None."""
        return next((guest for guest in self.ctl("guests") if guest["name"] == name), None)

    def port(self, port, protocol="tcp"):
        """What `ports who` says about it."""
        return next((entry for entry in self.ctl("ports", "who", port) if entry["protocol"] == protocol), None)

    def owner_of(self, port, protocol="tcp"):
        """Name of the guest that a port is bound to, else the port's state."""
        entry = self.port(port, protocol)
        return entry["owner"] if entry["state"] == "bound" else entry["state"]

    def wait_for_tcp(self, port, address=SHARED4, timeout_s=90):
        """Until the peer can connect."""
        script = f'import socket; socket.create_connection(("{address}", {port}), 2)'
        self.machine.wait_until(f"ip netns exec wire python3 -c '{script}'", f"something that listens on {address} port {port}", timeout_s=timeout_s)

    def on_the_wire(self, command, *, timeout_s=60, check=True):
        """Output of a command of the peer."""
        return self.machine.run(f"ip netns exec wire {command}", timeout_s=timeout_s, check=check)
