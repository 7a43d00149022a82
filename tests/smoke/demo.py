#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""`make demo`: nginx and redis in two guests on one IP address, others with their own, a server that is killed, a guest that moves
to a VF and back."""

import argparse
import json
import os
import pathlib
import re
import sys
import time

import applications
import demo_switch
import lab
from bridged_lab import BridgedLab
from lab import DEDICATED4, SHARED4, WIRE4

DOWNLOAD_BYTES = 150_000_000
# Generous: a busy machine must not turn a pause into a failure. The figures themselves are printed.
ENGINE_PAUSE_S, EVERYTHING_PAUSE_S = 2.0, 10.0

PICTURE = f"""\
  client ─── wire ─── librettos-netserver ─┬─ web    nginx  {SHARED4}  ┐ one address
  {WIRE4}                                 ├─ cache  redis  {SHARED4}  ┘
                                           └─ db     redis  {DEDICATED4[0]}   its own
"""


class Screen:
    """What the reader sees; colours only on a terminal."""

    def __init__(self):
        colours = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        self._code = {name: f"\033[{code}m" if colours else "" for name, code in
                      {"bold": "1", "dim": "2", "good": "32", "bad": "31", "off": "0"}.items()}

    def paint(self, style, text):
        return f"{self._code[style]}{text}{self._code['off']}"

    def line(self, text=""):
        print(text, flush=True)

    def title(self, text):
        self.line("\n" + self.paint("bold", text))

    def command(self, text):
        self.line(f"  $ {text}")

    def output(self, text):
        for line in text.rstrip().splitlines():
            self.line(f"    {self.paint('dim', line)}" if line else "")

    def verdict(self, ok, text):
        mark = self.paint("good", "✓") if ok else self.paint("bad", "✗")
        self.line(f"  {mark} {text}")


class Demo:
    """The steps in order; each one adds what held to the results."""

    def __init__(self, build, svg):
        self.lab, self.svg = BridgedLab(build, vfs=["vf0"]), svg
        self.screen = Screen()
        self.results = []
        self.sha256 = ""

    def result(self, name, ok, figure, unit, text):
        """`figure` None when the step broke before there was one."""
        self.results.append({"name": name, "ok": bool(ok), "figure": figure, "unit": unit})
        self.screen.verdict(ok, text)

    def step(self, title, function, names):
        """Runs a step; what it did not get to is a failure, and the next step is tried all the same."""
        self.screen.title(title)
        try:
            function()
        except (lab.Failure, OSError) as failure:
            self.screen.verdict(False, (str(failure) or type(failure).__name__).splitlines()[0])
            self.screen.output(self.lab.report(6))
        missing = [name for name in names if name not in {result["name"] for result in self.results}]
        self.results += [{"name": name, "ok": False, "figure": None, "unit": ""} for name in missing]

    def command(self, shown, words):
        """Runs a program on the wire and shows it with what it printed. Returns that and the milliseconds it took."""
        self.screen.command(shown)
        started = time.monotonic()
        text = self.lab.run(words).stdout
        took_ms = (time.monotonic() - started) * 1000
        self.screen.output(text)
        return text, round(took_ms, 1)

    # --- the steps

    def start(self):
        self.screen.line(PICTURE)
        started = time.monotonic()
        self.lab.__enter__()
        try:
            directory = self.lab.directory
            web = applications.nginx(directory)
            self.sha256 = applications.random_file(directory / "www" / "large", DOWNLOAD_BYTES)
            (directory / "www" / "index.html").write_text("Hello from nginx in the guest web.\n")
            self.lab.guest("web", web, wait=False)
            self.lab.guest("cache", applications.redis(), wait=False)
            self.lab.guest("db", applications.redis(), "--dedicated", wait=False)
            for address, port in ((SHARED4, 80), (SHARED4, 6379), (DEDICATED4[0], 6379)):
                self.lab.wait_for_tcp(address, port)
        except BaseException:
            self.lab.close()
            raise
        seconds = round(time.monotonic() - started, 2)
        self.result("start", True, seconds, "s", f"server and three guests are up after {seconds} s")

    def reach(self):
        text, took = self.command(f"curl http://{SHARED4}/", ["curl", "-sS", f"http://{SHARED4}/"])
        self.result("nginx on the shared address", "nginx in the guest web" in text, took, "ms", "nginx answered")
        _, _ = self.command(f"redis-cli -h {SHARED4} set greeting hello",
                            ["redis-cli", "-h", SHARED4, "set", "greeting", "hello"])
        text, took = self.command(f"redis-cli -h {SHARED4} get greeting", ["redis-cli", "-h", SHARED4, "get", "greeting"])
        self.result("redis on the same address", text.strip() == "hello", took, "ms", "redis answered, on the same address")

    def dedicated(self):
        text, took = self.command(f"redis-cli -h {DEDICATED4[0]} exists greeting",
                                  ["redis-cli", "-h", DEDICATED4[0], "exists", "greeting"])
        self.result("redis on a dedicated address", text.strip() == "0", took, "ms",
                    "the same port on another address: another redis, which knows no greeting")

    def outgoing(self):
        with self.lab.socket() as listener:
            listener.bind((WIRE4, 8080))
            listener.listen(1)
            listener.settimeout(lab.PATIENCE_S)
            started = time.monotonic()
            self.screen.command(f"librettos-guest run --name visitor -- curl http://{WIRE4}:8080/")
            visitor = self.lab.guest("visitor", ["curl", "-sS", f"http://{WIRE4}:8080/"], wait=False)
            connection, (address, port) = listener.accept()
            with connection:
                connection.recv(4096)
                body = f"Hello {address}, port {port}.\n"
                connection.sendall(f"HTTP/1.0 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
            owner = self.lab.ctl("ports", "who", port)[0]
            status = visitor.wait()
            took_ms = round((time.monotonic() - started) * 1000, 1)
        self.screen.output(body if body in visitor.log else visitor.tail())
        ok = status == 0 and body in visitor.log and address == SHARED4 and owner["owner"] == "visitor"
        self.result("outgoing connection", ok, took_ms, "ms",
                    f"the client saw {address} port {port}, which the portmap had leased to the guest")

    def operator(self):
        self.screen.command("librettosctl status")
        self.screen.output(self.lab.ctl_text("status"))
        self.screen.command("librettosctl ports")
        self.screen.output(self.lab.ctl_text("ports"))
        connected = self.lab.ctl("status")["guests"]["connected"]
        owners = {(entry["owner"], entry["first"]) for entry in self.lab.ctl("ports") if entry["protocol"] == "tcp"}
        self.result("librettosctl status", connected == 3, connected, "guests", f"{connected} guests are connected")
        ok = {("web", 80), ("cache", 6379)} <= owners
        self.result("librettosctl ports", ok, len(owners), "ranges", "80 is web's, 6379 is cache's")

    def conflict(self):
        text, took = self.command(f"redis-cli -h {SHARED4} config set port 80        # web owns 80",
                                  ["redis-cli", "-h", SHARED4, "config", "set", "port", "80"])
        said = re.findall(r".*bind: .*", self.lab.guests["cache"].log)
        self.screen.output("\n".join(line.split("# ")[-1] for line in said[-1:]))
        refused = "Unable to listen" in text and any("Address already in use" in line for line in said)
        page = self.lab.run(["curl", "-sS", f"http://{SHARED4}/"]).stdout
        self.result("port conflict refused", refused and "nginx" in page, took, "ms",
                    "bind() in the guest cache failed with EADDRINUSE; nginx never noticed")

    def download(self, name, shown, kill, most_s):
        self.screen.command(f"curl http://{SHARED4}/large | sha256sum &")
        with applications.Download(self.lab, f"http://{SHARED4}/large") as download:
            download.wait_for(DOWNLOAD_BYTES // 5)
            before, killed = download.received, time.monotonic()
            self.screen.command(shown)
            kill()
            sha256 = download.finish()
            pause_s = download.pause_s(killed)
        pause_ms = round(pause_s * 1000, 1)
        ok = sha256 == self.sha256 and before < DOWNLOAD_BYTES and pause_s < most_s
        self.screen.output(f"{sha256[:32]}…  {DOWNLOAD_BYTES / 1e6:.0f} MB, killed after {before / 1e6:.0f} MB")
        self.result(name, ok, pause_ms, "ms pause",
                    f"paused for {pause_ms} ms, " + ("checksum right" if sha256 == self.sha256 else "checksum WRONG"))

    def engine_killed(self):
        pid = self.lab.ctl("status")["pid"]
        self.download("download over kill -9 of the engine", f"kill -9 {pid}        # the engine",
                      self.lab.kill_engine, ENGINE_PAUSE_S)

    def everything_killed(self):
        status = self.lab.ctl("status")
        self.download("download over kill -9 of everything",
                      f"kill -9 {status['holder_pid']} {status['pid']} && librettos-netserver        # holder and engine",
                      self.lab.restart_server, EVERYTHING_PAUSE_S)
        alive = self.lab.run(["redis-cli", "-h", SHARED4, "get", "greeting"]).stdout.strip()
        connected = self.lab.ctl("status")["guests"]["connected"]
        self.result("guests afterwards", alive == "hello" and connected == 3, connected, "guests",
                    "all three guests are still connected, and were never restarted")

    def switch(self):
        demo_switch.run(self, self.sha256, self.svg)

    def run(self):
        self.screen.title("librettos-netserver: many guests, one IP address")
        try:
            self.step("1  A wire, a server, three guests", self.start, ["start"])
            if self.results[0]["ok"]:
                self.step("2  One address, two guests", self.reach,
                          ["nginx on the shared address", "redis on the same address"])
                self.step("3  A guest with an address of its own", self.dedicated, ["redis on a dedicated address"])
                self.step("4  From a guest to the outside", self.outgoing, ["outgoing connection"])
                self.step("5  What the operator sees", self.operator, ["librettosctl status", "librettosctl ports"])
                self.step("6  Nobody takes another guest's port", self.conflict, ["port conflict refused"])
                self.step("7  kill -9 of the server's engine, in the middle of a download", self.engine_killed,
                          ["download over kill -9 of the engine"])
                self.step("8  kill -9 of the whole server, in the middle of a download", self.everything_killed,
                          ["download over kill -9 of everything", "guests afterwards"])
                self.step("9  A busy guest moves to a VF and back, ten times", self.switch,
                          ["datagrams over the switches", "download over the switches", "pause of a switch"])
        finally:
            self.lab.close()
        return self.results

    def summary(self):
        self.screen.title("Summary")
        for result in self.results:
            figure = "" if result["figure"] is None else f"{result['figure']:>10,}".replace(",", " ") + f" {result['unit']}"
            self.screen.verdict(result["ok"], f"{result['name']:<38}{figure}".rstrip())
        ok = all(result["ok"] for result in self.results)
        self.screen.line("\n" + (self.screen.paint("good", "All of it held.") if ok else
                                 self.screen.paint("bad", "Something did not hold; see the step above.")))
        return ok


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    root = pathlib.Path(__file__).resolve().parents[2]
    parser.add_argument("--build", type=pathlib.Path, default=root / "build/release", help="build folder (build/release)")
    parser.add_argument("--json", type=pathlib.Path, default=root / "build/demo.json",
                        help="where the results go (build/demo.json)")
    parser.add_argument("--svg", type=pathlib.Path, default=root / "build/demo-switch.svg",
                        help="where the plot of the switches goes (build/demo-switch.svg)")
    options = parser.parse_args()
    sys.stdout.reconfigure(errors="replace")
    try:
        lab.Lab.check_machine(options.build, "nginx", "redis-server", "redis-cli", "curl")
        demo = Demo(options.build, options.svg)
    except lab.CannotRun as reason:
        print(f"demo: {reason}", file=sys.stderr)
        return 77  # skipped, for ctest
    results = demo.run()
    ok = demo.summary()
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
