# SPDX-License-Identifier: BSD-2-Clause
"""Guests that are moved to a VF and back: the whole server with a bridge's VFs, a guest over liblvif, and numbered datagrams both ways."""

import collections
import contextlib
import os
import signal
import struct
import threading
import time

import case
import lab as laboratory
from bridged_lab import BridgedLab
from lab import DEDICATED4

PORT = 7
SWITCHES = 10
GRACE_S = 2 * laboratory.PATIENCE_S / 20
STEPS_THERE = ["giving", "preparing", "steering", "draining", "committing"]
STEPS_BACK = ["returning", "steering-back", "releasing", "taking"]


class Stream:
    """Datagrams with numbers to a guest, which sends each back; `answers` counts them by number and by the two ways they went."""

    def __init__(self, lab, address, per_s=400, size=110, port=PORT):
        self._socket = lab.socket(laboratory.socket.AF_INET, laboratory.socket.SOCK_DGRAM)
        self._socket.connect((address, port))
        self._socket.settimeout(0.05)
        self.size = size
        self.per_s, self.sent, self.answers, self.ways = per_s, 0, collections.Counter(), collections.Counter()
        self._over, self._until = threading.Event(), 0
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._send, self._receive)]
        for thread in self._threads:
            thread.start()

    def _send(self):
        while not self._over.is_set():
            with contextlib.suppress(OSError):  # a neighbour that is not known yet
                self._socket.send(struct.pack("!Q", self.sent) + b"??" + bytes(self.size - 10))
                self.sent += 1
            time.sleep(1 / self.per_s)

    def _receive(self):
        while not self._over.is_set() or self._more():
            with contextlib.suppress(OSError):
                data = self._socket.recv(2048)
                self.answers[struct.unpack("!Q", data[:8])[0]] += 1
                self.ways[data[8:10].decode()] += 1
                self._until = time.monotonic() + GRACE_S

    def _more(self):
        return len(self.answers) < self.sent and time.monotonic() < self._until

    def way_is(self, way):
        """Until answers go this way, "rr" or "vv"; whatever went before."""
        before = self.ways[way]
        laboratory.wait_until(lambda: self.ways[way] > before + 20, f"answers by way {way}, have {dict(self.ways)}")

    def end(self):
        """(lost, more than once), when all have come, or none has for a while."""
        self._until = time.monotonic() + GRACE_S
        self._over.set()
        for thread in self._threads:
            thread.join()
        self._socket.close()
        lost = [number for number in range(self.sent) if number not in self.answers]
        return lost, [number for number, count in self.answers.items() if count > 1]


class WithVfs:
    """What the groups share: guests, their VFs, and what the server says about them."""

    vfs = ["vf0"]
    config = None

    @classmethod
    def setUpClass(cls):
        try:
            laboratory.Lab.check_machine(case.build)
        except laboratory.CannotRun as reason:
            raise case.unittest.SkipTest(str(reason)) from None
        cls.lab = cls.enterClassContext(BridgedLab(case.build, vfs=cls.vfs, config=cls.config))
        cls.program = case.build / "tests/smoke/vf_guest"

    def guest(self, name):
        """Starts vf_guest; its .holds is a folder of the steps that it does not get ready with."""
        holds = self.lab.directory / f"{name}-{time.monotonic_ns()}.holds"
        holds.mkdir()
        process = self.lab.spawn(name, [self.program, name, self.lab.directory / "hv.sock", holds], namespace=self.lab.server)
        process.holds = holds
        self.addCleanup(process.stop)
        self.eventually(lambda: self.lab.guest_state(name) == "connected", f"guest {name} to be connected")
        return process

    def shown(self, name):
        return self.lab.ctl("guest", name)

    def path(self, name):
        return self.shown(name)["path"]

    def step(self, name):
        return self.shown(name)["switch"]["step"]

    def at_step(self, name, step):
        self.eventually(lambda: self.step(name) == step, f"{name} to be at {step}")

    def switch(self, name, to, *options, wait=True):
        """librettosctl switch; without `wait` it runs beside us, and is not asked how it went."""
        if wait:
            return self.lab.ctl("switch", name, to, *options)
        return self.lab.spawn("switch", [
            self.lab.program("librettosctl"), "--socket", self.lab.directory / "api.sock", "switch", name, to, *options])

    def hold(self, guest, *steps):
        for step in steps:
            (guest.holds / step).touch()

    def release(self, guest):
        for file in guest.holds.iterdir():
            file.unlink()

    def holder(self, number):
        os.kill(self.lab.ctl("status")["holder_pid"], number)

    def vf_is_free(self):
        return all(vf["guest"] is None and vf["present"] for vf in self.lab.ctl("vf"))


class Switched(WithVfs, case.SmokeTest):
    """By the operator, under traffic."""

    vfs = ["vf0", "vf1"]

    def test_there_and_back_loses_nothing(self):
        self.guest("db1")
        stream = Stream(self.lab, DEDICATED4[0])
        stream.way_is("rr")
        for _ in range(SWITCHES):
            there = self.switch("db1", "direct")
            self.assertEqual([step["step"] for step in there["switch"]["last"]["steps"]], STEPS_THERE)
            stream.way_is("vv")
            back = self.switch("db1", "server")
            self.assertEqual([step["step"] for step in back["switch"]["last"]["steps"]], STEPS_BACK)
            stream.way_is("rr")
        self.assertEqual(stream.end(), ([], []), dict(stream.ways))

    def test_is_told_to_the_operator(self):
        self.guest("db1")
        text = self.lab.ctl_text("switch", "db1", "direct", "--dry-run")
        self.assertIn("preparing", text)
        self.assertEqual(self.path("db1"), "server")
        self.assertEqual(self.switch("db1", "direct", "--vf", "1")["switch"]["vf"], 1)
        table = self.lab.ctl_text("vf")
        self.assertRegex(table, r"1 +vf1 +up +db1 +02:4c:52")
        self.assertRegex(table, r"0 +vf0 +down +-")
        self.assertIn("1 guest direct", self.lab.ctl_text("status"))
        self.assertIn("already", self.lab.ctl_text("switch", "db1", "direct"))
        self.assertRegex(self.lab.ctl_text("switch", "db1", "server"), r"uses the server after [0-9.]+ ms")
        refused = self.lab.ctl("switch", "db1", "direct", "--vf", "9", check=False)
        self.assertEqual(refused["error"]["code"], "not-found")

    def test_a_guest_that_is_not_ready_stays(self):
        guest = self.guest("db1")
        self.hold(guest, "open")
        stream = Stream(self.lab, DEDICATED4[0])
        stream.way_is("rr")
        outcome = self.switch("db1", "direct", "--timeout", "200")
        self.assertEqual(outcome["path"], "server")
        self.assertIn("did not answer within 200 ms", outcome["switch"]["last"]["reason"])
        self.release(guest)
        self.hold(guest, "begin")
        outcome = self.switch("db1", "direct", "--timeout", "200")
        self.assertEqual(outcome["path"], "server")
        stream.way_is("rr")
        self.assertEqual(stream.end(), ([], []), dict(stream.ways))
        self.assertTrue(self.vf_is_free())

    def test_a_reload_leaves_it_direct(self):
        self.guest("db1")
        self.switch("db1", "direct")
        stream = Stream(self.lab, DEDICATED4[0])
        stream.way_is("vv")
        generation = self.lab.ctl("status")["engine_generation"]
        self.holder(signal.SIGHUP)
        self.eventually(lambda: self.lab.ctl("status")["engine_generation"] > generation, "the next engine")
        self.eventually(lambda: self.path("db1") == "direct", "the guest to be direct")
        stream.way_is("vv")
        self.assertEqual(stream.end(), ([], []), dict(stream.ways))

    def test_a_detached_guest_gives_it_back(self):
        self.guest("db1")
        self.switch("db1", "direct")
        self.lab.ctl("detach", "db1")
        self.eventually(self.vf_is_free, "the VF to be taken back")
        self.lab.ctl("attach", "db1")
        self.eventually(lambda: self.lab.guest_state("db1") == "connected", "the guest to be connected again")
        self.assertEqual(self.switch("db1", "direct")["path"], "direct")

    def test_local_guests_reach_it_and_questions_are_its_own(self):
        self.guest("db1")
        self.switch("db1", "direct")
        before = self.lab.counters().get("drop_answered_by_vf", 0)
        self.lab.run(["ip", "neigh", "flush", "dev", "wire0"])
        stream = Stream(self.lab, DEDICATED4[0])
        stream.way_is("vv")
        self.assertEqual(stream.end(), ([], []))
        self.assertGreater(self.lab.counters().get("drop_answered_by_vf", 0), before)


class OneVf(WithVfs, case.SmokeTest):
    """What goes wrong, with a VF that two guests want."""

    def test_two_guests(self):
        self.guest("db1")
        self.guest("db2")
        self.switch("db1", "direct")
        refused = self.lab.ctl("switch", "db2", "direct", check=False)
        self.assertEqual(refused["error"]["code"], "busy")
        self.switch("db1", "server")
        self.assertEqual(self.switch("db2", "direct")["path"], "direct")
        self.assertEqual(self.path("db1"), "server")

    def test_a_guest_that_dies_gives_it_back(self):
        guest = self.guest("db1")
        self.switch("db1", "direct")
        guest.signal(signal.SIGKILL)
        self.eventually(self.vf_is_free, "the VF to be taken back")
        self.guest("db1")
        self.assertEqual(self.switch("db1", "direct")["path"], "direct")

    def test_a_guest_that_dies_without_a_server_gives_it_back(self):
        guest = self.guest("db1")
        self.switch("db1", "direct")
        self.lab.kill_server()
        guest.signal(signal.SIGKILL)
        guest.wait()
        self.lab.start_server()
        self.eventually(self.vf_is_free, "the VF to be taken back")
        self.guest("db1")
        self.assertEqual(self.switch("db1", "direct")["path"], "direct")

    def test_a_lost_link_leads_back(self):
        guest = self.guest("db1")
        stream = Stream(self.lab, DEDICATED4[0])
        self.switch("db1", "direct")
        stream.way_is("vv")
        self.lab.run(["ip", "link", "set", "vf0", "down"], namespace=self.lab.server)
        self.eventually(lambda: self.path("db1") == "server", "the guest to be back")
        self.assertRegex(self.shown("db1")["switch"]["last"]["reason"], "link is down|lost its VF")
        stream.way_is("rr")
        self.assertEqual(self.switch("db1", "direct")["path"], "direct")
        stream.way_is("vv")
        self.assertEqual(stream.end()[1], [])
        self.assertIsNone(guest.status)


class Killed(WithVfs, case.SmokeTest):
    """kill -9 of the engine, or of everything, in each step."""

    MOST_IN_HAND = 32  # frames that a killed engine had sent on and not yet taken off the ring: they come twice

    def setUp(self):
        self.db = self.guest("db1")
        self.stream = Stream(self.lab, DEDICATED4[0])
        self.stream.way_is("rr")

    def tearDown(self):
        self.assertLess(len(self.stream.end()[1]), self.MOST_IN_HAND, "no more came twice than the engine had in its hands")

    def get_to(self, step):
        """Leaves the switch there, or back, in the middle of that step: guest or holder do nothing until resumed."""
        back = step in STEPS_BACK
        if back:
            self.switch("db1", "direct")
        first = "poll" if back else "open"
        if step == "giving":
            self.holder(signal.SIGSTOP)
        else:
            self.hold(self.db, first if step != "committing" else "begin")
        self.switch("db1", "server" if back else "direct", "--timeout", "60000", wait=False)
        if step in ("steering", "steering-back", "releasing", "taking"):
            self.at_step("db1", "returning" if back else "preparing")
            self.holder(signal.SIGSTOP)
            self.release(self.db)
        if step in ("releasing", "taking"):
            self.at_step("db1", "steering-back")
            self.hold(self.db, "poll")
            self.holder(signal.SIGCONT)
        if step == "taking":
            self.at_step("db1", "releasing")
            self.holder(signal.SIGSTOP)
            self.release(self.db)
        self.at_step("db1", step)

    def killed_at(self, step, kill):
        self.get_to(step)
        kill()
        self.release(self.db)
        ends = "direct" if step in ("steering", "committing") else "server"
        self.eventually(lambda: self.path("db1") == ends, f"the guest to be {ends}")
        self.stream.way_is("vv" if ends == "direct" else "rr")
        if ends == "direct":
            self.switch("db1", "server")
        self.assertTrue(self.vf_is_free())
        self.assertEqual(self.switch("db1", "direct")["path"], "direct", "and again")

    def kill_engine(self):
        status = self.lab.ctl("status")
        os.kill(status["pid"], signal.SIGKILL)
        os.kill(status["holder_pid"], signal.SIGCONT)
        self.eventually(lambda: self.lab.ctl("status")["engine_generation"] > status["engine_generation"], "the next engine")

    def test_direct(self):
        for kill in (self.kill_engine, self.lab.restart_server):
            self.switch("db1", "direct")
            kill()
            self.eventually(lambda: self.path("db1") == "direct", "the guest to be direct")
            self.stream.way_is("vv")
            self.switch("db1", "server")
            self.stream.way_is("rr")


def _add_tests():
    for step in [step for step in STEPS_THERE + STEPS_BACK if step != "draining"]:  # lasts for a moment: unit tests
        for name, kill in (("engine", lambda test: test.kill_engine()), ("server", lambda test: test.lab.restart_server())):
            def test(self, step=step, kill=kill):
                self.killed_at(step, lambda: kill(self))
            setattr(Killed, f"test_{step.replace('-', '_')}_{name}", test)


_add_tests()

if __name__ == "__main__":
    raise SystemExit(case.main())
