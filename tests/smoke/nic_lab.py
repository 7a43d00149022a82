# SPDX-License-Identifier: BSD-2-Clause
"""A lab whose server drives the software 82599 (tests/nic82599), and guests whose process has a VF of it. The NIC is a process of its own,
since holder, engine and guests use it; its wire is port0. Not a byte of the programs is changed: a preloaded library gives them the NIC."""

import contextlib
import json
import subprocess
import unittest

import lab as laboratory

PF = "0000:01:00.0"


def vf_address(vf):
    """Of the NIC's VF of that number."""
    return f"0000:01:10.{2 * vf}"


class NicLab(laboratory.Lab):
    """A lab whose server drives the model."""

    def __init__(self, build, vfs=0, rate_mbps=500, config=None, **options):
        config = {"port": {"device": PF}, **(config or {})}
        if vfs:
            config["direct"] = {"steering": "ixgbe", "vfs": [vf_address(vf) for vf in range(vfs)], "rate_mbps": rate_mbps}
        super().__init__(build, config=config, **options)
        self._vfs = vfs
        self._programs = self.build / "tests/nic82599"
        self.nic_directory = self.directory / "nic"
        self.nic_directory.mkdir()
        self._device = None

    def start_hypervisord(self):
        self._start_nic()
        super().start_hypervisord()

    def _start_nic(self):
        command = ["ip", "netns", "exec", self.server, self._programs / "nic82599-device", "--folder", self.nic_directory,
                   "--vfs", self._vfs, "--wire", "port0"]
        with open(self.directory / "nic.log", "ab") as log:
            self._device = subprocess.Popen([str(word) for word in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
                                            text=True, start_new_session=True)
        if self._device.stdout.readline().strip() != "ready":
            raise laboratory.Failure(f"nic82599-device did not start: {(self.directory / 'nic.log').read_text()}")
        for vf in range(self._vfs):
            self.nic(f"show {vf}")

    def on_nic(self):
        """The beginning of a command that has the NIC."""
        return ["env", f"LD_PRELOAD={self._programs / 'libnic82599-preload.so'}", f"NIC82599_FOLDER={self.nic_directory}"]

    def server_command(self, config_path):
        return [*self.on_nic(), *super().server_command(config_path)]

    @property
    def nic_pid(self):
        return self._device.pid

    def nic(self, command):
        """The NIC's answer to a command, see nic82599-device."""
        self._device.stdin.write(command + "\n")
        self._device.stdin.flush()
        return self._device.stdout.readline().strip()

    def events(self):
        words = self.nic("events").split()
        return {name: int(number) for name, number in zip(words[::2], words[1::2])}

    def lwip_guest(self, name, vf, label, *command):
        """lwip_guest, dedicated, with a VF that its process drives; see there for the command. The process is called `label`."""
        words = [*self.on_nic(), f"LIBRETTOS_HYPERVISOR_SOCKET={self.directory}/hv.sock", f"LWIP_GUEST_VF={vf_address(vf)}",
                 self.build / "tests/smoke/lwip_guest", name, "dedicated", *command]
        return self.spawn(label, [str(word) for word in words], namespace=self.server)

    def close(self):
        super().close()
        if self._device is not None:
            self._device.kill()
            self._device.wait()
            with contextlib.suppress(BrokenPipeError):
                self._device.stdin.close()
            self._device.stdout.close()


def require_model(build):
    """Skips the group where the model cannot be preloaded."""
    if not (build / "tests/nic82599/nic82599-device").exists():
        raise unittest.SkipTest("there is no nic82599-device in this build")
    if "LIBRETTOS_SANITIZE:STRING=\n" not in (build / "CMakeCache.txt").read_text():
        raise unittest.SkipTest("a sanitizer wants to be the first library, and so does the preloaded one")


def last_json(process):
    """The last JSON object that a program printed; other lines may follow."""
    return json.loads([line for line in process.log.splitlines() if line.startswith("{")][-1])
