# SPDX-License-Identifier: BSD-2-Clause
"""A network in namespaces with a real server in it: a wire, librettos-hypervisord, librettos-netserver, guests.

    with Lab(build) as lab:
        web = lab.guest("web", ["nginx", ...])
        lab.wait_for_tcp("10.9.0.2", 80)
        lab.run(["curl", "http://10.9.0.2/"])

The client's side of the veth pair is `wire0` in the namespace lab.wire, the server's side `port0` in lab.server. Everything
that was made is removed when the `with` ends, by an exception or a signal too, and by a guard process if this one is killed.
"""

import contextlib
import copy
import ctypes
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

PROGRAMS = {
    "librettos-netserver": "daemon/holder",
    "librettos-engine.so": "daemon/lib/librettos",
    "librettosctl": "daemon/ctl",
    "librettos-hypervisord": "drivers/hypervisor/local",
    "librettos-guest": "guest-frontend/linux",
    "smoke_echo": "tests/smoke",
    "smoke_numbers": "tests/smoke",
}
WIRE4, SHARED4 = "10.9.0.1", "10.9.0.2"
WIRE6, SHARED6 = "fd09::1", "fd09::2"
DEDICATED4 = ["10.9.0.20", "10.9.0.21"]
DEDICATED6 = ["fd09::20", "fd09::21"]
PATIENCE_S = 20 * float(os.environ.get("SMOKE_PATIENCE", "1"))  # a slow machine gets more time for everything

_libc = ctypes.CDLL(None, use_errno=True)
_labs = 0


class Failure(Exception):
    """Something did not happen; the text says what, with the ends of the logs."""


class Ended(Failure):
    """A program that should run has ended: no use to wait on."""


class CannotRun(Exception):
    """This machine cannot run the lab; the text says why."""


@contextlib.contextmanager
def inside(namespace):
    """The calling thread is in the namespace; sockets made there stay there."""
    with open("/proc/thread-self/ns/net", "rb") as home, open(f"/run/netns/{namespace}", "rb") as there:
        _enter(there)
        try:
            yield
        finally:
            _enter(home)


def _enter(namespace_file):
    if _libc.setns(namespace_file.fileno(), 0x40000000) != 0:  # CLONE_NEWNET
        raise OSError(ctypes.get_errno(), "setns")


def wait_until(condition, what, timeout_s=PATIENCE_S, explain=lambda: ""):
    """The condition's first true value; it may fail with OSError or Failure until then."""
    end = time.monotonic() + timeout_s
    last = ""
    while True:
        try:
            value = condition()
            if value:
                return value
        except Ended:
            raise
        except (OSError, Failure) as error:
            last = f" ({str(error).splitlines()[0] if str(error) else type(error).__name__})"
        if time.monotonic() > end:
            raise Failure(f"waited {timeout_s} s in vain: {what}{last}\n{explain()}".rstrip())
        time.sleep(0.005)


def _ip(*words, check=True):
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        raise Failure(f"ip {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


def _sweep(prefix, directory):
    """Ends what runs in the namespaces of that prefix, removes them and the directory."""
    names = [line.split()[0] for line in _ip("netns", "list", check=False).splitlines() if line.startswith(prefix)]
    for name in names:
        for pid in _ip("netns", "pids", name, check=False).split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
    for name in names:
        _ip("netns", "del", name, check=False)
    shutil.rmtree(directory, ignore_errors=True)


def _toml(tables):
    def value(v):
        return json.dumps(v)  # strings, numbers, booleans and lists of them look the same in TOML
    lines = [f"{key} = {value(v)}" for key, v in tables.items() if not isinstance(v, dict)]
    for name, table in tables.items():
        if isinstance(table, dict):
            lines += ["", f"[{name}]"] + [f"{key} = {value(v)}" for key, v in table.items()]
    return "\n".join(lines) + "\n"


def _merge(base, changes):
    merged = copy.deepcopy(base)
    for key, change in changes.items():
        if change is None:
            merged.pop(key, None)
        elif isinstance(change, dict):
            merged[key] = _merge(merged.get(key, {}), change)
        else:
            merged[key] = change
    return merged


class Process:
    """A program that runs in the background in a process group of its own, with its output in a file."""

    def __init__(self, name, command, log_path):
        self.name, self.command, self.log_path = name, [str(word) for word in command], log_path
        with open(log_path, "ab") as log:
            self._popen = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        self.pid = self._popen.pid

    @property
    def status(self):
        """Exit status, or None while it runs."""
        return self._popen.poll()

    @property
    def log(self):
        return self.log_path.read_text(errors="replace")

    def tail(self, lines=12):
        state = "runs" if self.status is None else f"ended with status {self.status}"
        return "\n".join([f"--- {self.name} ({state})"] + ["    " + line for line in self.log.splitlines()[-lines:]])

    def signal(self, number):
        """To the whole group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def wait(self, timeout_s=PATIENCE_S):
        try:
            return self._popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise Failure(f"{self.name} did not end within {timeout_s} s\n{self.tail()}") from None

    def stop(self, timeout_s=5):
        """SIGTERM, after the time SIGKILL. Returns the exit status."""
        if self.status is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._popen.wait(timeout_s)
        self.signal(signal.SIGKILL)
        return self._popen.wait()


class Guest(Process):
    """librettos-guest with its command; .namespace is where the command runs."""

    def __init__(self, lab, name, command, options):
        self.guest_name, self.namespace, self._lab = name, f"{lab.prefix}-{name}", lab
        super().__init__(name, [
            *lab.guest_prefix, lab.program("librettos-guest"), "run", "--name", name, "--netns", self.namespace,
            "--hypervisor-socket", lab.directory / "hv.sock", *options, "--", *command], lab.directory / f"{name}.log")

    def run(self, command):
        """Output of a program beside the guest's own."""
        return self._lab.run(command, namespace=self.namespace).stdout


class Lab:
    """See the module. `config` is merged into the server's configuration (None takes a key away)."""

    guest_prefix = ()  # the beginning of the command that starts librettos-guest
    engine = None  # the server's shared object, if not the build's
    scale = rate_scale = 1  # factors of amounts, and of how much in a second, for places that are slower

    def __init__(self, build, *, mtu=1500, config=None, hypervisord_options=(), start=True):
        global _labs
        self.build = pathlib.Path(build).resolve()
        self.check_machine(self.build)
        _labs += 1
        self.prefix = f"lrs{os.getpid()}x{_labs}"
        self.wire, self.server = f"{self.prefix}-wire", f"{self.prefix}-server"
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix=f"{self.prefix}-"))
        self.directory.chmod(0o755)
        self.mtu, self.processes, self.guests = mtu, [], {}
        self.hypervisord_process = self.server_process = None
        self.hypervisord_options = hypervisord_options
        self.config = _merge(_merge({
            "port": {"device": "port0", "mtu_bytes": mtu},
            "network": {"ipv4": f"{SHARED4}/24", "gateway4": WIRE4, "ipv6": f"{SHARED6}/64", "gateway6": WIRE6},
            "dedicated": {"ipv4": DEDICATED4, "ipv6": DEDICATED6},
            "attach": {"dedicated": ["db*"]},
            "paths": {"api_socket": str(self.directory / "api.sock"), "stats": str(self.directory / "stats")},
        }, self.hypervisor_config()), config or {})
        self._guard = subprocess.Popen(
            [sys.executable, __file__, self.prefix + "-", str(self.directory)],
            stdin=subprocess.PIPE, start_new_session=True)
        self._signals = {}
        self._start = start

    @staticmethod
    def check_machine(build, *programs):
        """Raises CannotRun with the reason and what to do; `programs` are others that have to be there."""
        if os.geteuid() != 0:
            raise CannotRun("namespaces need root: run it with sudo")
        for name, folder in PROGRAMS.items():
            if not (pathlib.Path(build) / folder / name).exists():
                raise CannotRun(f"there is no {folder}/{name} in {build}: run make, or name the build folder with --build")
        if not pathlib.Path("/dev/net/tun").exists():
            raise CannotRun("there is no /dev/net/tun: modprobe tun")
        missing = [name for name in ("ip", "ethtool", *programs) if shutil.which(name) is None]
        if missing:
            raise CannotRun(f"not installed: {', '.join(missing)}; .ci/packages installs what is needed")

    def hypervisor_config(self):
        """The part of the server's configuration that says where it runs."""
        return {"hypervisor": "local", "hypervisor_socket": str(self.directory / "hv.sock")}

    def program(self, name):
        return self.build / PROGRAMS[name] / name

    def scaled(self, amount):
        return int(amount * self.scale)

    def guest_program(self, name):
        """What a guest calls a program of the build."""
        return str(self.program(name))

    # --- life

    def __enter__(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            self._signals[number] = signal.signal(number, _end_by_signal)
        try:
            self._make_network()
            if self._start:
                self.start_hypervisord()
                self.start_server()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind, error, _):
        if isinstance(error, Failure) and error.args:
            error.args = (f"{error.args[0]}\n{self.report()}",)
        self.close()

    def close(self):
        for number in self._signals:
            signal.signal(number, signal.SIG_IGN)
        for process in reversed(self.processes):
            with contextlib.suppress(OSError):
                process.stop()
        _sweep(self.prefix + "-", self.directory)
        self._guard.stdin.close()
        self._guard.wait()
        for number, former in self._signals.items():
            signal.signal(number, former)

    def _make_network(self):
        for name in (self.wire, self.server):
            _ip("netns", "add", name)
            _ip("-n", name, "link", "set", "lo", "up")
        _ip("link", "add", "wire0", "netns", self.wire, "type", "veth", "peer", "name", "port0", "netns", self.server)
        # No router solicitations and the like from the server's host: it has no address of its own on this wire.
        self.run(["sysctl", "-qw", "net.ipv6.conf.port0.disable_ipv6=1"], namespace=self.server)
        self.run(["ethtool", "-K", "wire0", "tx", "off", "tso", "off", "gso", "off", "gro", "off"])
        for namespace, interface in ((self.wire, "wire0"), (self.server, "port0")):
            _ip("-n", namespace, "link", "set", interface, "mtu", str(self.mtu), "up")
        _ip("-n", self.wire, "addr", "add", f"{WIRE4}/24", "dev", "wire0")
        _ip("-n", self.wire, "addr", "add", f"{WIRE6}/64", "dev", "wire0", "nodad")

    # --- programs

    def spawn(self, name, command, namespace=None):
        """A Process, by default on the wire."""
        process = Process(name, ["ip", "netns", "exec", namespace or self.wire, *command], self.directory / f"{name}.log")
        self.processes.append(process)
        return process

    def run(self, command, *, namespace=None, timeout_s=PATIENCE_S, check=True, stdin=None):
        """Runs a program to its end, by default on the wire. Returns subprocess.CompletedProcess with text."""
        words = ["ip", "netns", "exec", namespace or self.wire, *[str(word) for word in command]]
        try:
            done = subprocess.run(words, capture_output=True, text=True, input=stdin, timeout=timeout_s, check=False)
        except subprocess.TimeoutExpired:
            raise Failure(f"{' '.join(words[4:])}: not ready after {timeout_s} s") from None
        if check and done.returncode != 0:
            said = (done.stdout + done.stderr).strip()[-600:]
            raise Failure(f"{' '.join(words[4:])}: exit status {done.returncode}: {said}")
        return done

    def start_hypervisord(self):
        self.hypervisord_process = self.spawn("hypervisord", [
            str(self.program("librettos-hypervisord")), "--socket", str(self.directory / "hv.sock"),
            *self.hypervisord_options], namespace=self.server)
        self._wait_alive(self.hypervisord_process, lambda: _connects(self.directory / "hv.sock"), "hypervisord's socket")

    def start_server(self, wait=True):
        """Starts librettos-netserver; `wait` until it answers."""
        path = self.directory / "netserver.toml"
        path.write_text(_toml(self.config))
        self.server_process = self.spawn("netserver", self.server_command(path), namespace=self.server)
        if wait:
            self.wait_for_server()

    def server_command(self, config_path):
        return [str(self.program("librettos-netserver")), "--config", str(config_path), *(["--engine", str(self.engine)] if self.engine else [])]

    def wait_for_server(self):
        self._wait_alive(self.server_process, lambda: self.ctl("status") is not None, "an answer of librettos-netserver")

    def _wait_alive(self, process, condition, what):
        def check():
            if process.status is not None:
                raise Ended(f"{process.name} ended while we waited for {what}")
            return condition()
        try:
            return wait_until(check, what)
        except Failure as failure:
            raise type(failure)(f"{failure}\n{process.tail()}") from None

    def guest(self, name, command, *options, wait=True):
        """Starts librettos-guest with the command; `wait` until the server has connected it."""
        guest = self.start_guest(name, command, options)
        self.processes.append(guest)
        self.guests[name] = guest
        if wait:
            self._wait_alive(guest, lambda: self.guest_state(name) == "connected", f"guest {name} to be connected")
            self._wait_alive(guest, lambda: "link up" in guest.log, f"guest {name}'s interface")
        return guest

    def start_guest(self, name, command, options):
        return Guest(self, name, command, options)

    # --- the operator's view

    def ctl(self, *words, check=True):
        """`result` of librettosctl --json; without `check` the whole reply."""
        done = self._run_ctl("--json", *words)
        try:
            reply = json.loads(done.stdout)
        except json.JSONDecodeError:
            raise Failure(f"librettosctl {' '.join(map(str, words))}: {done.stderr.strip() or done.stdout.strip()}") from None
        if not check:
            return reply
        if not reply["ok"]:
            raise Failure(f"librettosctl {' '.join(map(str, words))}: {reply['error']['message']}")
        return reply["result"]

    def ctl_text(self, *words):
        """What an operator sees."""
        return self._run_ctl(*words).stdout

    def _run_ctl(self, *words):
        return subprocess.run([
            self.program("librettosctl"), "--socket", self.directory / "api.sock", "--stats-file", self.directory / "stats",
            *[str(word) for word in words]], capture_output=True, text=True, check=False)  # it ends by itself, --timeout

    def guest_state(self, name):
        return next((guest["state"] for guest in self.ctl("guests") if guest["name"] == name), None)

    def counters(self, name="wire"):
        """{counter: value} of a guest, or of the wire; zero ones are absent."""
        for guest in self.ctl("stats")["guests"]:
            if guest["name"] == name:
                return guest["counters"]
        return {}

    # --- sockets and readiness

    def socket(self, *arguments, namespace=None):
        """A Python socket, by default on the wire."""
        with inside(namespace or self.wire):
            return socket.socket(*arguments)

    def connect(self, address, port, *, namespace=None, timeout_s=PATIENCE_S):
        """A connected TCP socket."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        connection = self.socket(family, socket.SOCK_STREAM, namespace=namespace)
        connection.settimeout(timeout_s)
        try:
            connection.connect((address, port))
        except OSError:
            connection.close()
            raise
        return connection

    def wait_for_tcp(self, address, port, *, namespace=None):
        """Until something listens there."""
        def listens():
            self.connect(address, port, namespace=namespace, timeout_s=1).close()
            return True
        return wait_until(listens, f"something that listens on {address} port {port}", explain=self.report)

    # --- death and resurrection

    def kill_engine(self, wait=True):
        """kill -9 of the engine. Returns its pid; `wait` until the next one answers."""
        before = self.ctl("status")
        os.kill(before["pid"], signal.SIGKILL)
        if wait:
            wait_until(lambda: self.ctl("status")["engine_generation"] > before["engine_generation"], "the next engine",
                       explain=self.report)
        return before["pid"]

    def reload_server(self):
        """What `systemctl reload` does; waits until the next engine answers."""
        before = self.ctl("status")["engine_generation"]
        self.server_process.signal(signal.SIGHUP)
        wait_until(lambda: self.ctl("status")["engine_generation"] > before, "the next engine", explain=self.report)

    def kill_server(self):
        """kill -9 of holder and engine at the same time; nothing starts them again."""
        self.server_process.signal(signal.SIGSTOP)  # none of them acts upon the other's death
        self.server_process.signal(signal.SIGKILL)
        self.server_process.wait()

    def restart_server(self, wait=True):
        """kill -9 of everything, and a start at once."""
        self.kill_server()
        self.start_server(wait=wait)

    def report(self, lines=12):
        """Ends of all logs."""
        latest = {process.name: process for process in self.processes}
        return "\n".join(process.tail(lines) for process in latest.values())


def _connects(path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as attempt:
        attempt.connect(str(path))
    return True


def _end_by_signal(number, _):
    raise SystemExit(128 + number)


if __name__ == "__main__":  # the guard: waits for the lab's end, clean or not
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.stdin.buffer.read()
    _sweep(sys.argv[1], sys.argv[2])
