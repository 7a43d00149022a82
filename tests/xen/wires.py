# SPDX-License-Identifier: BSD-2-Clause
"""Where the peer of a measurement is: what is run on a wire, and what the wire has carried.

A wire's other end is in dom0, in a namespace there, or outside: a TAP interface in a namespace of this machine's, which is the cable of an
emulated NIC. What runs outside takes nothing of the emulated machine's processors, as another computer would not.
"""

import abc
import ctypes
import json
import os
import subprocess

from machine import PATIENCE, Failure

CLONE_NEWNET = 0x40000000

_libc = ctypes.CDLL(None, use_errno=True)


class Wire(abc.ABC):
    """`interface` is the peer's end of it."""

    def __init__(self, interface):
        self.interface = interface

    @abc.abstractmethod
    def run(self, command, *, timeout_s=60):
        """Output of a command of the peer's. Failure if its exit status is not 0."""

    def frames(self):
        """Carried so far, both ways."""
        link, = json.loads(self.run(f"ip -json -stats link show {self.interface}"))
        return link["stats64"]["rx"]["packets"] + link["stats64"]["tx"]["packets"]


class WireInDom0(Wire):
    def __init__(self, machine, namespace, interface):
        super().__init__(interface)
        self._machine, self._namespace = machine, namespace

    def run(self, command, *, timeout_s=60):
        return self._machine.run(f"ip netns exec {self._namespace} {command}", timeout_s=timeout_s)


class WireOutside(Wire):
    def __init__(self, namespace, number, address):
        super().__init__(f"wire{number}")
        self._namespace = namespace
        self.run(f"ip addr add {address} dev {self.interface}")

    def run(self, command, *, timeout_s=60):
        return in_namespace(self._namespace, command, timeout_s)


class Outside:
    """A namespace of this machine's with `wires` TAPs, wire1 and so on, and nothing else. QEMU runs in it."""

    def __init__(self, wires):
        self._namespace, self._wires = f"librettos-xen-{os.getpid()}", wires

    def open(self):
        subprocess.run(["ip", "netns", "add", self._namespace], check=True)
        in_namespace(self._namespace, "sysctl -qw net.ipv6.conf.default.disable_ipv6=1")
        for number in range(1, self._wires + 1):
            in_namespace(self._namespace, f"ip tuntap add wire{number} mode tap")
            in_namespace(self._namespace, f"ip link set wire{number} up")

    def enter(self):
        """Of a process between fork and exec."""
        descriptor = os.open(f"/run/netns/{self._namespace}", os.O_RDONLY | os.O_CLOEXEC)
        if _libc.setns(descriptor, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")

    def wire(self, number, address):
        """With this address, "A/N", at the peer's end."""
        return WireOutside(self._namespace, number, address)

    def close(self):
        """Does nothing where nothing is open."""
        subprocess.run(["ip", "netns", "del", self._namespace], check=False, stderr=subprocess.DEVNULL)


def in_namespace(namespace, command, timeout_s=60):
    try:
        said = subprocess.run(["ip", "netns", "exec", namespace, "sh", "-c", command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=timeout_s * PATIENCE)
    except subprocess.TimeoutExpired:
        raise Failure(f"not ready after {timeout_s} s: {command}") from None
    if said.returncode != 0:
        raise Failure(f"exit status {said.returncode} of: {command}\n{said.stdout[-3000:]}")
    return said.stdout
