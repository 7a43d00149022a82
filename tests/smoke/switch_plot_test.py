# SPDX-License-Identifier: BSD-2-Clause
"""The plot of switches is well-formed and stays within its frame: switch_plot_test.py [SVG of a demo]."""

import math
import pathlib
import sys
import unittest
import xml.etree.ElementTree as xml

import switch_plot

SVG = "{http://www.w3.org/2000/svg}"


class Plot(unittest.TestCase):
    """Of made-up figures, or of the file that was named."""

    file = None

    def setUp(self):
        self.seconds = 4.0
        self.switches = [(0.5, 0.6, "direct"), (1.5, 1.7, "server"), (2.5, 2.6, "direct")]
        waves = [[(step / 10, 1000 * (offset + math.sin(step))) for step in range(40)] for offset in (1, 2, 3)]
        self.drawn = xml.fromstring(switch_plot.draw("<Title> & more", "under it", self.seconds, *waves, self.switches))

    def points(self, root):
        return [[tuple(map(float, point.split(","))) for point in line.get("points").split()]
                for line in root.iter(f"{SVG}polyline")]

    def check(self, root):
        width, height = float(root.get("width")), float(root.get("height"))
        curves = self.points(root)
        self.assertEqual(len(curves), 3)
        for curve in curves:
            self.assertGreater(len(curve), 10)
            self.assertEqual(curve, sorted(curve, key=lambda point: point[0]), "time goes to the right")
            for x, y in curve:
                self.assertTrue(0 <= x <= width and 0 <= y <= height, (x, y))
        self.assertTrue(any("on its VF" in (text.text or "") for text in root.iter(f"{SVG}text")))

    def test_is_well_formed(self):
        self.check(self.drawn)
        self.assertIn("<Title> & more", [text.text for text in self.drawn.iter(f"{SVG}text")])

    def test_times_on_the_vf_are_shaded(self):
        shades = [shade for shade in self.drawn.iter(f"{SVG}rect") if shade.get("fill") == switch_plot.DIRECT]
        self.assertEqual(len(shades), 2 * 2 + 1, "two spans in two panels, and the key")
        per_second = (switch_plot.RIGHT - switch_plot.LEFT) / self.seconds
        self.assertAlmostEqual(float(shades[0].get("width")), 1.1 * per_second, 0)

    def test_bins_keep_what_there_was(self):
        bins = switch_plot.binned([0.1, 0.15, 0.9, 5.0], [1, 2, 3, 4], 1.0, 0.5)
        self.assertEqual(bins, [(0.25, 6.0), (0.75, 6.0)])

    def test_of_the_demo(self):
        if self.file is None:
            self.skipTest("no file was named")
        self.check(xml.parse(self.file).getroot())


if __name__ == "__main__":
    if len(sys.argv) > 1:
        Plot.file = pathlib.Path(sys.argv.pop())
    unittest.main()
