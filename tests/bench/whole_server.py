# SPDX-License-Identifier: BSD-2-Clause
"""Figures of the whole server with 64 guests: memory, attach time, idle CPU, recovery, latency. In namespaces of its own."""

import contextlib
import os
import pathlib
import select
import signal
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "smoke"))

from programs import Program, ProgramFailed  # noqa: E402
from quantile import quantile  # noqa: E402

GUESTS = 64
FIRST_PORT = 20000
SERVER_IP, CLIENT_IP, BARE_IP, BARE_CLIENT_IP = "10.99.0.1", "10.99.0.2", "10.98.0.1", "10.98.0.2"
READY_S = 20

CONFIGURATION = """\
hypervisor_socket = "{folder}/hypervisor.sock"
[port]
device = "{interface}"
[network]
ipv4 = "{address}/24"
[paths]
api_socket = "{folder}/control.sock"
stats = "{folder}/stats"
[log]
level = "warning"
"""


class Namespaces:
    """Two namespaces with two veth pairs between them: one for the server's port, one bare."""

    def __init__(self):
        self.server, self.client = f"lvb{os.getpid()}s", f"lvb{os.getpid()}c"

    def __enter__(self):
        try:
            for name in (self.server, self.client):
                self._ip("netns", "add", name)
                self._ip("-n", name, "link", "set", "lo", "up")
            for near, far in (("port0", "wire0"), ("bare0", "bare1")):
                self._ip("-n", self.server, "link", "add", near, "type", "veth", "peer", "name", far, "netns", self.client)
            for name, interface, address in ((self.client, "wire0", CLIENT_IP), (self.server, "bare0", BARE_IP),
                                             (self.client, "bare1", BARE_CLIENT_IP)):
                self._ip("-n", name, "addr", "add", f"{address}/24", "dev", interface)
            for name, interfaces in ((self.server, ("port0", "bare0")), (self.client, ("wire0", "bare1"))):
                for interface in interfaces:
                    self._ip("-n", name, "link", "set", interface, "up")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for name in (self.server, self.client):
            subprocess.run(["ip", "netns", "del", name], stderr=subprocess.DEVNULL, check=False)

    @staticmethod
    def _ip(*words):
        done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise ProgramFailed(f"ip {' '.join(words)}: {done.stderr.strip()}")

    @staticmethod
    def inside(name):
        return ["nsenter", f"--net=/run/netns/{name}"]


def children(pid):
    """Processes whose parent is pid."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
                if int(fields[1]) == pid and fields[0] != "Z":
                    found.append(int(entry.name))
    return found


def wait_for_end(pid, descriptor):
    if not select.select([descriptor], [], [], 10)[0]:
        raise ProgramFailed(f"process {pid} does not die")


class Daemons:
    """hypervisord and the server in their folder."""

    def __init__(self, build, namespaces, folder):
        self.build, self.namespaces, self.folder = build, namespaces, pathlib.Path(folder)
        self.log = (self.folder / "log").open("w+")
        self.hypervisord = self.server = None
        (self.folder / "netserver.toml").write_text(
            CONFIGURATION.format(folder=folder, interface="port0", address=SERVER_IP))

    def __enter__(self):
        self.hypervisord = self._spawn([self._find("librettos-hypervisord"), "--socket", self.folder / "hypervisor.sock",
                                        "--quarantine", "0", "--log-level", "warning"])
        self._wait_for(lambda: (self.folder / "hypervisor.sock").exists(), "librettos-hypervisord makes no socket")
        try:
            self.start_server()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in (self.server, self.hypervisord):
            if process is not None and process.poll() is None:
                process.terminate()
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        self.log.close()

    def start_server(self):
        self.server = self._spawn([*self.namespaces.inside(self.namespaces.server), self._find("librettos-netserver"),
                                   "--config", self.folder / "netserver.toml"])
        self._wait_for(lambda: self.engine() is not None and (self.folder / "control.sock").exists(),
                       "librettos-netserver does not start")

    def engine(self):
        """Its process id; None between two engines."""
        found = children(self.server.pid)
        return found[0] if found else None

    def all_pids(self):
        return [self.hypervisord.pid, self.server.pid, self.engine()]

    def kill_engine(self):
        """Returns the moment before the kill; comes back when the process is dead."""
        pid = self._wait_for(self.engine, "there is no engine")
        descriptor = os.pidfd_open(pid)
        try:
            start_ns = time.monotonic_ns()
            os.kill(pid, signal.SIGKILL)
            wait_for_end(pid, descriptor)
            return start_ns
        finally:
            os.close(descriptor)

    def kill_all_and_start(self):
        """Kills holder and engine at once, starts the server again without waiting for it."""
        engine = self._wait_for(self.engine, "there is no engine")
        descriptor = os.pidfd_open(engine)
        try:
            start_ns = time.monotonic_ns()
            self.server.kill()
            os.kill(engine, signal.SIGKILL)
            self.server.wait()
            wait_for_end(engine, descriptor)
        finally:
            os.close(descriptor)
        self.server = self._spawn([*self.namespaces.inside(self.namespaces.server), self._find("librettos-netserver"),
                                   "--config", self.folder / "netserver.toml"])
        return start_ns

    def _find(self, program):
        found = [path for path in self.build.rglob(program) if path.is_file() and os.access(path, os.X_OK)]
        if not found:
            raise ProgramFailed(f"{program} is not built in {self.build}")
        return found[0]

    def _spawn(self, command):
        return subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)

    def _wait_for(self, condition, trouble):
        end = time.monotonic() + READY_S
        while time.monotonic() < end:
            value = condition()
            if value:
                return value
            dead = [process for process in (self.hypervisord, self.server) if process is not None and process.poll() is not None]
            if dead:
                break
            time.sleep(0.001)
        self.log.flush()
        lines = (self.folder / "log").read_text().strip().splitlines()
        raise ProgramFailed(f"{trouble}: {lines[-1] if lines else 'it logged nothing'}")


def memory(pids):
    """(bytes mapped shared, resident private bytes) of the processes together."""
    shared = private = 0
    for pid in pids:
        is_shared = False
        for line in pathlib.Path(f"/proc/{pid}/smaps").read_text().splitlines():
            words = line.split()
            if "-" in words[0] and not words[0].endswith(":"):
                is_shared = words[1][3] == "s"
            elif words[0] == "Size:" and is_shared:
                shared += int(words[1]) * 1024
            elif words[0] in ("Private_Clean:", "Private_Dirty:") and not is_shared:
                private += int(words[1]) * 1024
    return shared, private


def cpu_seconds(pids):
    ticks = 0
    for pid in pids:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def row(name, unit, ours, target=None, note="", peer="", peer_value=None):
    return {"name": name, "frame_bytes": None, "guests": GUESTS, "unit": unit, "ours": ours, "peer": peer,
            "peer_value": peer_value, "ratio": ours / peer_value if ours and peer_value else None, "target": target,
            "target_ratio": None, "note": note, "whole_server": True}


def ask(program, command, timeout_s=60):
    program.send(command)
    return program.answer(timeout_s)


def measure_memory_and_attach(daemons, guests_command):
    """Attaches the guests. Returns (rows, the running guests)."""
    time.sleep(0.5)
    engine = [daemons.engine()]
    before = memory(engine)
    guests = Program(guests_command)
    time.sleep(0.5)
    after = memory(engine)
    attach = guests.description["attach_ms"]
    per_guest = [(new - old) / GUESTS / 1024 for old, new in zip(before, after)]
    return [
        row("shared_memory_per_guest", "KiB", per_guest[0], 600, "growth of the engine's shared mappings, one queue pair of default size"),
        row("private_memory_per_guest", "KiB", per_guest[1], 64, "growth of the engine's resident private memory"),
        row("attach_time_p50", "ms", quantile(attach, 0.5), 5, "from no domain to Connected, one guest after the other"),
        row("attach_time_p99", "ms", quantile(attach, 0.99), None),
    ], guests


def measure_idle(daemons, seconds):
    pids = daemons.all_pids()
    before = cpu_seconds(pids)
    time.sleep(seconds)
    percent = 100 * (cpu_seconds(pids) - before) / seconds
    return [row("idle_cpu", "% of a core", percent, 1, f"holder, engine and hypervisord over {seconds} s")]


def measure_latency(inside, build, client, count):
    ours = ask(client, f"latency {count}")
    server_side, client_side = inside
    udp = build / "tests/bench/bench_udp"
    bare, trouble = {}, ""
    try:
        with Program([*server_side, udp, "--echo", BARE_IP, 7]), Program([*client_side, udp, BARE_IP, 7]) as bare_client:
            bare = ask(bare_client, f"latency {count}")
    except ProgramFailed as failure:
        trouble = f"; {failure}"
    return [row(f"request_response_{part}", "us", ours[f"{part}_us"], None,
                f"UDP over veth and AF_PACKET to an echoing guest, both asleep in between; {ours['lost']} lost{trouble}",
                "bare veth pair", bare.get(f"{part}_us")) for part in ("p50", "p99")]


def measure_recovery(daemons, guests, client, kills, restarts):
    first = []
    for _ in range(kills):
        time.sleep(1.1)  # younger engines that die are taken for a crash loop, and delayed
        first.append(ask(client, f"first {daemons.kill_engine()}")["ms"])
    again = []
    for _ in range(restarts):
        again.append(ask(client, f"first {daemons.kill_all_and_start()}")["ms"])
        time.sleep(0.5)
    state = ask(guests, "state")
    if state["connected"] != GUESTS or state["connections"] != GUESTS:
        raise ProgramFailed(f"guests did not stay connected over the kills: {state}")
    note = "kill -9 to the answer to the first request sent after the death"
    return [
        row("engine_kill_to_frame_p50", "ms", quantile(first, 0.5), 50, f"{note}, {kills} kills"),
        row("engine_kill_to_frame_p99", "ms", quantile(first, 0.99), 50),
        row("kill_all_to_frame_p50", "ms", statistics.median(again), 1000, f"holder and engine, restarted at once, {restarts} times"),
        row("kill_all_to_frame_max", "ms", max(again), 1000),
    ]


def measure(build, quick):
    """Rows; one without figure and with the error as note when the server cannot be measured."""
    if os.geteuid() != 0:
        return [row("whole_server", "", None, note="needs root for network namespaces")]
    rows = []
    try:
        with tempfile.TemporaryDirectory(prefix="librettos-bench-") as folder, Namespaces() as namespaces, \
                Daemons(build, namespaces, folder) as daemons:
            found, guests = measure_memory_and_attach(
                daemons, [build / "tests/bench/bench_guests", "--socket", f"{folder}/hypervisor.sock",
                          "--guests", GUESTS, "--first-port", FIRST_PORT])
            rows += found
            inside = (namespaces.inside(namespaces.server), namespaces.inside(namespaces.client))
            with guests, Program([*inside[1], build / "tests/bench/bench_udp", SERVER_IP, FIRST_PORT]) as client:
                time.sleep(1)
                rows += measure_idle(daemons, 2 if quick else 10)
                rows += measure_latency(inside, build, client, 500 if quick else 5000)
                rows += measure_recovery(daemons, guests, client, 3 if quick else 50, 1 if quick else 10)
    except (ProgramFailed, OSError) as failure:
        rows.append(row("whole_server", "", None, note=str(failure)))
    return rows
