# SPDX-License-Identifier: BSD-2-Clause
"""What is told of a stream of numbered datagrams, from made-up files: switching_test.py"""

import array
import pathlib
import tempfile
import unittest

import switching


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


if __name__ == "__main__":
    unittest.main()
