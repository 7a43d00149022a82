# SPDX-License-Identifier: BSD-2-Clause
"""The results as one SVG: bars of ours against the peers, curves, cycles per step, figures of the whole server."""

import html
import math

WIDTH = 1120
MARGIN = 40
PANEL_W = 500
PANEL_H = 250
GAP_X = 40
GAP_Y = 74
OURS, MEMIF, VHOST, OTHER = "#0b6e8a", "#e0a030", "#c2573f", "#9aa5b1"
STEPS = ("#0b6e8a", "#3f9c6b", "#e0a030", "#c2573f", "#7a5ea8", "#9aa5b1")
INK, QUIET, RULE = "#1f2933", "#62707d", "#e1e6ea"


class Canvas:
    def __init__(self):
        self.parts = []

    def text(self, x, y, words, size=12, colour=INK, anchor="start", weight="normal"):
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{colour}" text-anchor="{anchor}" '
                          f'font-weight="{weight}">{html.escape(str(words))}</text>')

    def line(self, x1, y1, x2, y2, colour=RULE, width=1, dash=""):
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        self.parts.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" '
                          f'stroke-width="{width}"{dashed}/>')

    def box(self, x, y, width, height, colour):
        self.parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{max(height, 0):.1f}" rx="2" fill="{colour}"/>')

    def path(self, points, colour):
        steps = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self.parts.append(f'<polyline points="{steps}" fill="none" stroke="{colour}" stroke-width="2.5" stroke-linejoin="round"/>')
        for x, y in points:
            self.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="white" stroke="{colour}" stroke-width="2"/>')

    def document(self, height):
        return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
                f'font-family="Inter, Helvetica, Arial, sans-serif"><rect width="100%" height="100%" fill="white"/>'
                + "\n".join(self.parts) + "</svg>\n")


def nice_top(value):
    """The next round number at or above value."""
    if value <= 0:
        return 1.0
    magnitude = 10 ** math.floor(math.log10(value))
    for factor in (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10):
        if value <= factor * magnitude * 1.0001:
            return factor * magnitude
    return 10 * magnitude


def short(number):
    if number >= 1000 and number % 1024 == 0:
        return f"{number // 1024}Ki"
    return f"{number:g}"


class Panel:
    """A titled plot with a vertical axis from 0 to `top`."""

    def __init__(self, canvas, x, y, title, unit, top):
        self.canvas, self.x, self.y, self.top = canvas, x, y, nice_top(top)
        self.left, self.right = x + 44, x + PANEL_W
        self.base, self.ceiling = y + PANEL_H - 30, y + 34
        canvas.text(x, y + 8, title, 14, weight="bold")
        canvas.text(x + PANEL_W, y + 8, unit, 11, QUIET, "end")
        for i in range(5):
            value = self.top * i / 4
            canvas.line(self.left, self.at(value), self.right, self.at(value))
            canvas.text(self.left - 8, self.at(value) + 4, f"{value:g}", 10, QUIET, "end")

    def at(self, value):
        return self.base - (self.base - self.ceiling) * value / self.top

    def mark(self, value, words):
        if value <= self.top:
            self.canvas.line(self.left, self.at(value), self.right, self.at(value), QUIET, 1.2, "5 4")
            self.canvas.text(self.right, self.at(value) - 4, words, 10, QUIET, "end")

    def legend(self, entries):
        x = self.left
        for words, colour in entries:
            self.canvas.box(x, self.y + 18, 10, 10, colour)
            self.canvas.text(x + 14, self.y + 27, words, 10, QUIET)
            x += 26 + 6.2 * len(words)


def peer_colour(name):
    if name.startswith("memif"):
        return MEMIF
    return VHOST if name.startswith("vhost") else OTHER


def throughput(canvas, x, y, rows, direction, frame_bytes):
    rows = [row for row in rows if row["name"] == direction and row["frame_bytes"] == frame_bytes and row["peer"] != "best"]
    ours = [row["ours"] for row in rows if row["ours"]]
    bars = [("librettos", ours[0] / 1e6, OURS)] if ours else []
    bars += [(row["peer"], row["peer_value"] / 1e6, peer_colour(row["peer"])) for row in rows if row["peer_value"]]
    title = f"{direction.replace('_', ' ')}, {frame_bytes} bytes"
    panel = Panel(canvas, x, y, title, "M frames/s", max([value for _, value, _ in bars], default=1))
    step = (panel.right - panel.left) / max(len(bars), 1)
    width = min(step * 0.6, 90)
    for i, (label, value, colour) in enumerate(bars):
        middle = panel.left + step * (i + 0.5)
        canvas.box(middle - width / 2, panel.at(value), width, panel.base - panel.at(value), colour)
        canvas.text(middle, panel.at(value) - 5, f"{value:.1f}", 11, INK, "middle", "bold")
        canvas.text(middle, panel.base + 16, label, 10, QUIET, "middle")
    if frame_bytes == 64:
        panel.mark(14.88, "10 GbE line rate")


def curve(canvas, x, y, title, points):
    points = [point for point in points if point.get("wire_to_guest") or point.get("guest_to_wire")]
    names = (("wire_to_guest", OURS), ("guest_to_wire", VHOST))
    top = max([point[name] / 1e6 for point in points for name, _ in names if point.get(name)], default=1)
    panel = Panel(canvas, x, y, title, "M frames/s", top)
    panel.legend([(name.replace("_", " "), colour) for name, colour in names])
    span = max(len(points) - 1, 1)
    places = [panel.left + 20 + (panel.right - panel.left - 40) * i / span for i in range(len(points))]
    for place, point in zip(places, points):
        canvas.text(place, panel.base + 16, short(point["x"]), 10, QUIET, "middle")
    for name, colour in names:
        canvas.path([(place, panel.at(point[name] / 1e6)) for place, point in zip(places, points) if point.get(name)], colour)


def steps(canvas, x, y, direction, cycles):
    total = sum(cycles.values())
    canvas.text(x, y + 8, f"Cycles per 64-byte frame, {direction.replace('_', ' ')}", 14, weight="bold")
    canvas.text(x + PANEL_W, y + 8, f"{total:.0f} in all", 11, QUIET, "end")
    place = x
    for i, (name, value) in enumerate(cycles.items()):
        width = (PANEL_W - 2 * len(cycles)) * value / total if total else 0
        colour = STEPS[i % len(STEPS)]
        canvas.box(place, y + 24, width, 34, colour)
        canvas.box(x + (i % 3) * 165, y + 74 + (i // 3) * 20, 10, 10, colour)
        canvas.text(x + 15 + (i % 3) * 165, y + 83 + (i // 3) * 20, f"{name}: {value:.1f}", 11, QUIET)
        place += width + 2


def latency(canvas, x, y, entries):
    """entries: [(label, p50 us, p99 us, colour)]"""
    panel = Panel(canvas, x, y, "Request/response", "microseconds", max([p99 for _, _, p99, _ in entries], default=1))
    step = (panel.right - panel.left) / max(len(entries), 1)
    for i, (label, p50, p99, colour) in enumerate(entries):
        middle = panel.left + step * (i + 0.5)
        for value, name, offset in ((p50, "p50", -30), (p99, "p99", 30)):
            canvas.box(middle + offset - 22, panel.at(value), 44, panel.base - panel.at(value), colour)
            canvas.text(middle + offset, panel.at(value) - 5, f"{value:.0f}", 11, INK, "middle", "bold")
            canvas.text(middle + offset, panel.base + 14, name, 9, QUIET, "middle")
        canvas.text(middle, panel.base + 27, label, 10, QUIET, "middle")


def figures(canvas, x, y, rows):
    canvas.text(x, y + 8, "The whole server, 64 guests", 14, weight="bold")
    for i, row in enumerate(rows):
        line = y + 34 + 20 * i
        canvas.text(x, line, f"{row['name'].replace('_', ' ')}", 12)
        canvas.text(x + PANEL_W * 0.72, line, f"{row['ours']:.4g} {row['unit']}", 12, OURS, "end", "bold")
        if row.get("target") is not None:
            canvas.text(x + PANEL_W, line, f"at most {row['target']:g}", 11, QUIET, "end")


def draw(report):
    """The SVG's text."""
    canvas = Canvas()
    machine = report["machine"]
    canvas.text(MARGIN, 44, "librettos-netserver", 22, weight="bold")
    canvas.text(MARGIN, 66, f"one data thread on one core, 64 guests on one IP; {machine['cpu']}, {machine['cores']} cores, "
                            f"DPDK {machine['dpdk']}", 12, QUIET)
    curves = report["curves"]
    panels = []  # (height, draw at x, y)
    plot_h = PANEL_H + GAP_Y - 30
    for frame_bytes in (64, 1500):
        for direction in ("wire_to_guest", "guest_to_wire"):
            panels.append((plot_h, lambda x, y, d=direction, b=frame_bytes: throughput(canvas, x, y, report["results"], d, b)))
    for key, title in (("guests", "Number of guests, 64 bytes"), ("owned_ports", "Ports owned, 64 bytes"),
                       ("frame_bytes", "Frame size in bytes, 64 guests")):
        if curves.get(key):
            panels.append((plot_h, lambda x, y, k=key, t=title: curve(canvas, x, y, t, curves[k])))
    found = [row for row in report["results"] if row["name"].startswith("request_response_p") and row["ours"] is not None]
    by_name = {row["name"]: row for row in found}
    if len(by_name) == 2:
        p50, p99 = by_name["request_response_p50"], by_name["request_response_p99"]
        entries = [("server and rings", p50["ours"], p99["ours"], OURS)]
        if p50["peer_value"] and p99["peer_value"]:
            entries.append(("bare veth pair", p50["peer_value"], p99["peer_value"], OTHER))
        panels.append((plot_h, lambda x, y: latency(canvas, x, y, entries)))
    for direction, cycles in curves.get("cycles_per_step", {}).items():
        if "error" not in cycles:
            panels.append((150, lambda x, y, d=direction, c=cycles: steps(canvas, x, y, d, c)))
    whole = [row for row in report["results"] if row.get("whole_server") and row["ours"] is not None
             and not row["name"].startswith("request_response")]
    if whole:
        panels.append((60 + 20 * len(whole), lambda x, y: figures(canvas, x, y, whole)))
    top = 100
    for i in range(0, len(panels), 2):
        pair = panels[i:i + 2]
        for column, (_, panel) in enumerate(pair):
            panel(MARGIN + column * (PANEL_W + GAP_X), top)
        top += max(height for height, _ in pair)
    return canvas.document(top + 10)
