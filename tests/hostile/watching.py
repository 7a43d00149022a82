# SPDX-License-Identifier: BSD-2-Clause
"""What the tests here look at all the time: an honest guest's service, and how much everybody holds."""

import json
import pathlib
import subprocess
import threading
import time

import lab as smoke

# A guest's server: the standard library's, one thread per connection.
HONEST_SERVER = """
import socketserver
class Echo(socketserver.StreamRequestHandler):
    def handle(self):
        while data := self.request.recv(65536):
            self.request.sendall(data)
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 64
Server(("0.0.0.0", 80), Echo).serve_forever()
"""


class Poller:
    """Asks the honest guest's echo server from the wire, a new connection each time, in a thread of its own."""

    def __init__(self, laboratory):
        self.lab = laboratory
        self.answers, self.failures, self.longest_s = 0, [], 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._poll, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()

    def _poll(self):
        last = time.monotonic()
        while not self._over.is_set():
            try:
                self._ask(b"%d " % self.answers + b"x" * 2000)
                self.answers += 1
            except OSError as error:
                self.failures.append(repr(error))
            now = time.monotonic()
            self.longest_s = max(self.longest_s, now - last)
            last = now
            self._over.wait(0.02)

    def _ask(self, question):
        with self.lab.connect(smoke.SHARED4, 80, timeout_s=15) as connection:
            connection.sendall(question)
            answer = b""
            while len(answer) < len(question):
                data = connection.recv(65536)
                if not data:
                    raise OSError("the connection was closed")
                answer += data
            if answer != question:
                raise OSError("the answer is not the question")

    def take(self):
        """(answers so far, failures, longest time from one outcome to the next) since the last call, of the latter two."""
        failures, self.failures = self.failures, []
        longest, self.longest_s = self.longest_s, 0.0
        return self.answers, failures, longest


def totals(laboratory):
    """What hypervisord holds."""
    done = subprocess.run([laboratory.build / "tests/hostile/hv_totals", laboratory.directory / "hv.sock"],
                          capture_output=True, text=True, timeout=20, check=False)
    if done.returncode != 0:
        raise smoke.Failure(done.stderr.strip())
    numbers = json.loads(done.stdout)
    numbers.pop("queued_events")  # of the moment
    return numbers


def holdings(pid):
    """Descriptors, mappings and resident KiB of a process."""
    folder = pathlib.Path(f"/proc/{pid}")
    rss = next(line for line in (folder / "status").read_text().splitlines() if line.startswith("VmRSS"))
    return {"fds": len(list((folder / "fd").iterdir())), "maps": len((folder / "maps").read_text().splitlines()),
            "rss_kib": int(rss.split()[1])}
