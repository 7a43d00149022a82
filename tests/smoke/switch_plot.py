# SPDX-License-Identifier: BSD-2-Clause
"""Throughput over time with a guest's switches marked, as SVG."""

import pathlib
import sys

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "bench"))

from plot import INK, MARGIN, OTHER, QUIET, RULE, WIDTH, Canvas, nice_top  # noqa: E402

DIRECT, DOWNLOAD, INBOUND, OUTBOUND = "#fbf1dd", "#0b6e8a", "#3f9c6b", "#c2573f"
LEFT, RIGHT, TOP, PANEL, GAP, AXIS_STEPS = MARGIN + 40, WIDTH - MARGIN, 104, 190, 70, 4


class Panel:
    """A frame with a scale, time from left to right."""

    def __init__(self, canvas, y, title, seconds, top):
        self._canvas, self._y, self._seconds, self._top = canvas, y, seconds, top
        canvas.text(LEFT, y - 12, title, 13, weight="bold")

    def x(self, second):
        return LEFT + (RIGHT - LEFT) * second / self._seconds

    def shade(self, spans):
        for since, until in spans:
            self._canvas.parts.append(f'<rect x="{self.x(since):.1f}" y="{self._y}" width="{self.x(until) - self.x(since):.1f}" '
                                      f'height="{PANEL}" fill="{DIRECT}"/>')

    def scale(self):
        for step in range(AXIS_STEPS + 1):
            y = self._y + PANEL - PANEL * step / AXIS_STEPS
            self._canvas.line(LEFT, y, RIGHT, y, RULE if step else OTHER)
            self._canvas.text(LEFT - 8, y + 4, f"{self._top * step / AXIS_STEPS:,.3g}" if self._top < 1000
                              else f"{self._top * step / AXIS_STEPS:,.0f}", 11, QUIET, "end")

    def seconds(self):
        for second in range(int(self._seconds) + 1):
            self._canvas.text(self.x(second), self._y + PANEL + 18, f"{second} s", 11, QUIET, "middle")

    def marks(self, moments):
        for moment in moments:
            self._canvas.line(self.x(moment), self._y, self.x(moment), self._y + PANEL, OTHER, 1, "3 3")

    def curve(self, points, colour):
        drawn = " ".join(f"{self.x(second):.1f},{self._y + PANEL - PANEL * min(value / self._top, 1):.1f}" for second, value in points)
        self._canvas.parts.append(f'<polyline points="{drawn}" fill="none" stroke="{colour}" stroke-width="1.6" stroke-linejoin="round"/>')


def _key(canvas, x, y, colour, words, filled=False):
    if filled:
        canvas.box(x, y - 9, 22, 11, colour)
    else:
        canvas.line(x, y - 4, x + 22, y - 4, colour, 3)
    canvas.text(x + 28, y, words, 12, QUIET)


def draw(title, subtitle, seconds, download, inbound, outbound, switches):
    """download, inbound, outbound: [(second, MB/s or datagrams/s)]; switches: [(began, over, "direct" or "server")], in seconds."""
    canvas = Canvas()
    canvas.text(MARGIN, 36, title, 20, INK, weight="bold")
    canvas.text(MARGIN, 58, subtitle, 13, QUIET)
    spans, since = [], None
    for _, over, to in switches:
        if to == "direct":
            since = over
        elif since is not None:
            spans.append((since, over))
            since = None
    if since is not None:
        spans.append((since, seconds))
    rates = [value for curve in (inbound, outbound) for _, value in curve]
    panels = ((TOP, "Download from the guest, MB/s", nice_top(max((value for _, value in download), default=1)), ((download, DOWNLOAD),)),
              (TOP + PANEL + GAP, "Numbered datagrams, per second", nice_top(max(rates, default=1)),
               ((inbound, INBOUND), (outbound, OUTBOUND))))
    for y, words, top, curves in panels:
        panel = Panel(canvas, y, words, seconds, top)
        panel.shade(spans)
        panel.scale()
        panel.marks([began for began, _, _ in switches])
        for points, colour in curves:
            panel.curve(points, colour)
        panel.seconds()
    y = TOP + 2 * PANEL + GAP + 46
    for x, colour, words, filled in ((LEFT, DIRECT, "on its VF", True), (LEFT + 130, DOWNLOAD, "download", False),
                                     (LEFT + 260, INBOUND, "datagrams to the guest", False),
                                     (LEFT + 460, OUTBOUND, "datagrams from it", False)):
        _key(canvas, x, y, colour, words, filled)
    canvas.line(LEFT + 631, y - 12, LEFT + 631, y + 3, OTHER, 1, "3 3")
    canvas.text(LEFT + 642, y, "librettosctl switch", 12, QUIET)
    return canvas.document(y + 24)


def binned(times_s, amounts, seconds, bin_s):
    """[(middle of bin, amount per second)] from events."""
    sums = [0.0] * max(int(seconds / bin_s), 1)
    for moment, amount in zip(times_s, amounts):
        place = int(moment / bin_s)
        if 0 <= place < len(sums):
            sums[place] += amount
    return [((place + 0.5) * bin_s, value / bin_s) for place, value in enumerate(sums)]
