# SPDX-License-Identifier: BSD-2-Clause
"""What is told of a stream of numbered datagrams, from made-up files: switching_test.py"""

import array
import pathlib
import tempfile
import unittest

import switching
from quantile import quantile


class Pauses(unittest.TestCase):
    """Times in microseconds; a datagram takes ten from sender to receiver unless it is said otherwise."""

    def stream(self, *arrivals):
        """Of [(sent, arrived), ...]."""
        with tempfile.NamedTemporaryFile() as file:
            file.write(array.array("Q", [time * 1000 for sent, arrived in arrivals for time in (arrived, sent)]).tobytes())
            file.flush()
            stream = switching.Stream.of("made-up", pathlib.Path(file.name))
            stream.take_account(len(arrivals), {"received": len(arrivals), "doubled": 0, "reordered": 0, "overrun": 0, "events": []})
        return stream

    def test_steady(self):
        stream = self.stream(*((at, at + 10) for at in range(100, 1000, 100)))
        self.assertEqual(stream.pause_us(200_000, 800_000), 10)
        self.assertEqual(stream.per_second(110_000, 910_000), 10_000)

    def test_what_is_held_up(self):
        stream = self.stream((100, 110), (200, 210), (300, 710), (400, 711), (500, 712), (800, 810))
        self.assertEqual(stream.pause_us(200_000, 800_000), 410, "since the first was sent that waits")

    def test_behind_what_is_held_up(self):
        stream = self.stream((100, 110), (200, 500), (210, 900), (1000, 1010))
        self.assertEqual(stream.pause_us(100_000, 1_000_000), 400, "since the last one came")

    def test_a_sender_that_pauses(self):
        stream = self.stream((100, 110), (200, 210), (5200, 5210), (5300, 5310))
        self.assertEqual(stream.pause_us(100_000, 6_000_000), 10)

    def test_only_what_touches_the_span(self):
        stream = self.stream((100, 400), (500, 510), (600, 610), (700, 990), (1000, 1010))
        self.assertEqual(stream.pause_us(505_000, 605_000), 10)
        self.assertEqual(stream.pause_us(505_000, 650_000), 10)
        self.assertEqual(stream.pause_us(505_000, 750_000), 290, "it begins in it")
        self.assertEqual(stream.pause_us(950_000, 1_000_000), 290, "it ends in it")

    def test_nothing_came(self):
        self.assertEqual(self.stream().pause_us(0, 1), 0)

    def test_when_it_was(self):
        stream = self.stream((100, 110), (200, 500), (600, 610))
        self.assertEqual(stream.pause_ns(100_000, 600_000), (200_000, 500_000))


class Windows(unittest.TestCase):
    def switch(self, steps, began_ns=1_000_000_000, ended_ns=1_200_000_000):
        """The server's part of it is over ten milliseconds before librettosctl is."""
        switch = switching.Switch.__new__(switching.Switch)
        switch.steps, switch.began_ns, switch.ended_ns, switch.over_ns = steps, began_ns, ended_ns, ended_ns - 10_000_000
        return switch

    def test_to_direct_the_path_changes_last(self):
        switch = self.switch({"giving": 2_000, "preparing": 160_000, "steering": 2_000, "draining": 30, "committing": 500})
        self.assertEqual(switch.change_ns(), (1_187_470_000, 1_190_000_000 + switching.CALM_NS))

    def test_back_it_changes_first(self):
        switch = self.switch({"returning": 1_000, "steering-back": 2_000, "releasing": 95_000, "taking": 2_000})
        self.assertEqual(switch.change_ns(), (1_090_000_000, 1_093_000_000 + switching.CALM_NS))

    def test_between_switches(self):
        switches = [self.switch({}, 0, 10), self.switch({}, 50_000_000, 60_000_000), self.switch({}, 90_000_000, 95_000_000)]
        self.assertEqual(switching.spans_between(switches), [(10 + switching.AFTER_NS, 50_000_000), (80_000_000, 90_000_000)])

    def test_windows_are_as_long_and_without_a_switch(self):
        spans = [(1_000, 2_000), (5_000, 5_100), (7_000, 10_000)]
        drawn = switching.windows_like([(0, 500), (0, 90)], spans, 200)
        self.assertEqual([ended - began for began, ended in drawn], [500] * 200 + [90] * 200)
        for window in drawn:
            self.assertTrue(any(since <= window[0] and window[1] <= until for since, until in spans), window)
        in_first = sum(began < 2_000 for began, _ in drawn[:200])
        self.assertTrue(10 < in_first < 80, f"a sixth of the places are there, and {in_first} of 200 windows")
        self.assertFalse(any(5_000 <= began < 5_100 for began, _ in drawn[:200]), "it is too short for these")

    def test_no_room_for_a_window(self):
        self.assertEqual(switching.windows_like([(0, 500)], [(0, 400)], 3), [])

    def test_a_processor_stood_still(self):
        self.assertTrue(switching.stood_still((100, 200), [(0, 50), (90, 150)]))
        self.assertFalse(switching.stood_still((100, 200), [(0, 149)]))
        self.assertFalse(switching.stood_still((100, 200), [(120, 145), (160, 185)]), "no one time for so long")
        self.assertFalse(switching.stood_still((100, 200), []))


class Quantiles(unittest.TestCase):
    def test_by_nearest_rank(self):
        values = list(range(100, 0, -1))
        self.assertEqual([quantile(values, part) for part in (0, 0.01, 0.5, 0.99, 1)], [1, 1, 50, 99, 100])
        self.assertEqual(quantile([7], 0.99), 7)
        self.assertEqual(quantile([], 0.5), 0)


if __name__ == "__main__":
    unittest.main()
