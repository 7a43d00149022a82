# SPDX-License-Identifier: BSD-2-Clause
"""Another engine is installed and taken up by a reload, under traffic: connections live on, whatever it was that was installed."""

import contextlib
import shutil
import sys

import applications
import case
from lab import SHARED4

FILE_BYTES = 40_000_000
BYTES_PER_S = 20_000_000
# The note in the object (daemon/engine/object/contract.hpp): name, contract (its number first), version.
NOTE_NAME = b"librettos\0\0\0"
CONTRACT_BYTES, VERSION_BYTES = 32, 32


def with_note(engine, *, contract=None, version=None):
    """The same engine, as if it were of another release."""
    changed = bytearray(engine)
    at = changed.index(NOTE_NAME) + len(NOTE_NAME)
    if contract is not None:
        changed[at:at + 4] = contract.to_bytes(4, sys.byteorder)
    if version is not None:
        at += CONTRACT_BYTES
        changed[at:at + VERSION_BYTES] = version.encode().ljust(VERSION_BYTES, b"\0")
    return bytes(changed)


class Upgrades(case.SmokeTest):
    """Each test installs something else while a file is downloaded."""

    @classmethod
    def setUpClass(cls):
        lab = cls.make_lab("nginx", "curl", "redis-server", start=False)
        cls.built = lab.program("librettos-engine.so").read_bytes()
        lab.engine = lab.directory / "engine.so"
        shutil.copy(lab.program("librettos-engine.so"), lab.engine)
        lab.start_hypervisord()
        lab.start_server()
        lab.guest("web", applications.nginx(lab.directory, file_bytes=FILE_BYTES), wait=False)
        lab.guest("cache", applications.redis(), wait=False)
        for port in (80, 6379):
            lab.wait_for_tcp(SHARED4, port)
        cls.sha256 = applications.sha256_of_file(lab, "web")

    def setUp(self):
        self.install(self.built)
        if self.lab.ctl("status")["engine"]["installed"]["runs"] != "now":
            self.lab.reload_server()

    def install(self, content):
        """As packages do it: the new file takes the old one's name in one step."""
        new = self.lab.engine.with_suffix(".new")
        new.write_bytes(content)
        new.chmod(0o644)
        new.rename(self.lab.engine)

    def engine(self):
        return self.lab.ctl("status")["engine"]

    @contextlib.contextmanager
    def traffic(self):
        """A download and an idle connection that must outlive what is done meanwhile."""
        with contextlib.ExitStack() as stack:
            redis = stack.enter_context(self.lab.connect(SHARED4, 6379))
            download = stack.enter_context(applications.Download(self.lab, f"http://{SHARED4}/file", bytes_per_s=BYTES_PER_S))
            download.wait_for(FILE_BYTES // 10)
            yield
            self.assertLess(download.received, FILE_BYTES, "it happened in the middle")
            redis.sendall(b"PING\r\n")
            self.assertEqual(redis.recv(100), b"+PONG\r\n")
            self.assertEqual(download.finish(), self.sha256)
        status = self.lab.ctl("status")
        self.assertEqual((status["guests"]["connected"], status["guests"]["breaches"]), (2, 0))
        for guest in self.lab.guests.values():
            self.assertEqual(guest.log.count("link up"), 1, "its link never went down")

    def test_another_build(self):
        holder = self.lab.ctl("status")["holder_pid"]
        with self.traffic():
            self.install(with_note(self.built, version="9.9.9"))
            self.assertEqual(self.engine()["installed"]["runs"], "after a reload")
            self.assertRegex(self.lab.ctl_text("status"), r"another engine is installed: version 9\.9\.9.*\n +systemctl reload librettos-netserver")
            self.lab.reload_server()
            status = self.lab.ctl("status")
            self.assertEqual((status["version"], status["holder_pid"]), ("9.9.9", holder))
            self.assertEqual((status["engine"]["installed"]["runs"], status["engine"]["refused"]), ("now", None))

    def refused(self, content, reason, note):
        """It is installed, does not run, the one before does, and the operator is told."""
        before = self.engine()["version"]
        with self.traffic():
            self.install(content)
            self.lab.reload_server()
            engine = self.eventually(lambda: (now := self.engine())["refused"] and now, "the engine to be refused")
            self.assertRegex(engine["refused"], reason)
            self.assertEqual(engine["version"], before)
            self.assertIn(note, self.lab.ctl_text("status"))

    def test_of_another_contract(self):
        self.install(with_note(self.built, contract=1000))
        self.assertEqual(self.engine()["installed"]["runs"], "after a restart")
        self.assertIn("systemctl restart librettos-netserver", self.lab.ctl_text("status"))
        self.refused(with_note(self.built, contract=1000), "keeps contract 1000, .* systemctl restart librettos-netserver",
                     "it needs a holder of its release")

    def test_garbage(self):
        self.refused(b"no engine at all" * 1000, "is no shared object; install librettos-netserver again", "engine.so is no engine")

    def test_half_of_one(self):
        self.refused(self.built[:300_000], "is cut off; install librettos-netserver again", "engine.so is no engine")

    def test_one_that_crashes(self):
        crashing = case.build / "tests/unit/holder/holder_test_crashing_engine.so"
        if not crashing.exists():
            self.skipTest(f"{crashing.name} has not been built")
        self.refused(crashing.read_bytes(), "killed by signal 6 .*; journalctl -u librettos-netserver", "the installed engine was given up")

    def test_overwritten_in_place(self):
        """The running engine does not need its file, nor does its successor after a crash."""
        with self.traffic():
            with open(self.lab.engine, "wb") as file:
                file.write(b"half of a new one")
            self.lab.kill_engine()
            self.assertIsNone(self.engine()["installed"])


if __name__ == "__main__":
    sys.exit(case.main())
