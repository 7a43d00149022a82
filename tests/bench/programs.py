# SPDX-License-Identifier: BSD-2-Clause
"""Benchmark programs as processes that measure on command (session.hpp), in turn with each other."""

import contextlib
import json
import select
import statistics
import subprocess
import tempfile
import time


class ProgramFailed(Exception):
    """A program did not start, did not answer or ended; the text is for the table."""


class Program:
    """One running benchmark program, ready to measure."""

    START_S = 60

    def __init__(self, command):
        self.command = [str(word) for word in command]
        self._errors = tempfile.TemporaryFile(mode="w+")
        # Unbuffered: of a line that was read ahead select() knows nothing.
        self._process = subprocess.Popen(
            self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, bufsize=0)
        try:
            self.description = self.answer(self.START_S)
        except ProgramFailed:
            self.close()
            raise

    def answer(self, timeout_s):
        """The next line of JSON."""
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            readable, _, _ = select.select([self._process.stdout], [], [], end - time.monotonic())
            if not readable:
                break
            line = self._process.stdout.readline()
            if not line:
                self._process.wait()
                raise ProgramFailed(self._last_words() or f"ended with status {self._process.returncode}")
            if line.startswith(b"{"):
                return json.loads(line)
        raise ProgramFailed(f"no answer within {timeout_s} s")

    def said(self):
        """On its standard error so far."""
        self._errors.seek(0)
        return self._errors.read()

    def _last_words(self):
        lines = [line.strip() for line in self.said().splitlines() if line.strip()]
        return lines[-1] if lines else ""

    def send(self, command):
        try:
            self._process.stdin.write(command.encode() + b"\n")
        except BrokenPipeError:
            pass  # the missing answer says why

    def measure(self, milliseconds):
        """The program's counts over the time, and `rate`, its frames per second."""
        self.send(f"measure {milliseconds}")
        answer = self.answer(milliseconds / 1000 + 20)
        answer["rate"] = answer["frames"] / answer["seconds"]
        return answer

    def close(self):
        if self._process.poll() is None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._process.stdout.close()
        self._errors.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Contender:
    """A program that takes part in a comparison, or the reason why it does not."""

    def __init__(self, name, command):
        self.name = name
        self.samples = []
        self.error = ""
        self.program = None
        self.description = {}
        try:
            self.program = Program(command)
            self.description = self.program.description
        except (ProgramFailed, OSError) as failure:
            self.error = str(failure)

    def measure(self, milliseconds):
        if self.program is None:
            return
        try:
            self.samples.append(self.program.measure(milliseconds))
        except ProgramFailed as failure:
            self.error = str(failure)
            self.close()

    def close(self):
        if self.program is not None:
            self.program.close()
            self.program = None

    @property
    def rates(self):
        return [sample["rate"] for sample in self.samples]

    @property
    def rate(self):
        return statistics.median(self.rates) if self.samples and not self.error else None


def in_turn(commands, rounds, milliseconds):
    """Runs the programs of {name: command} side by side, each measuring alone, in turn. Returns {name: Contender}."""
    contenders = {}
    try:
        for name, command in commands.items():
            contenders[name] = Contender(name, command)
        for _ in range(rounds):
            for contender in contenders.values():
                contender.measure(milliseconds)
    finally:
        for contender in contenders.values():
            contender.close()
    return contenders


def ratio_of_pairs(ours, peer):
    """Median of the ratios of measurements made right after one another."""
    if ours.rate is None or peer.rate is None:
        return None
    pairs = [a / b for a, b in zip(ours.rates, peer.rates) if b > 0]
    return statistics.median(pairs) if pairs else None
