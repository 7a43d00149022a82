# SPDX-License-Identifier: BSD-2-Clause
"""The results as a table for people."""


def figure(value, unit):
    if value is None:
        return "-"
    if unit == "frames/s":
        return f"{value / 1e6:.2f} M/s"
    return f"{value:.4g} {unit}"


def target(row):
    """What issue 2 asks for, and whether it is met."""
    wants = []
    met = True
    if row.get("target") is not None:
        at_least = row["unit"] == "frames/s"
        wants.append(f"{'>=' if at_least else '<='} {figure(row['target'], row['unit'])}")
        met &= row["ours"] is not None and (row["ours"] >= row["target"] if at_least else row["ours"] <= row["target"])
    if row.get("target_ratio") is not None:
        wants.append(f">= {row['target_ratio']:g}x")
        met &= row["ratio"] is not None and row["ratio"] >= row["target_ratio"]
    if not wants:
        return ""
    return " and ".join(wants) + (": met" if met else ": NOT met")


def table(report):
    lines = [("what", "bytes", "ours", "peer", "peer's", "ratio", "asked for")]
    notes = []
    for row in report["results"]:
        ratio = f"{row['ratio']:.2f}x" if row["ratio"] is not None else "-"
        lines.append((row["name"], str(row["frame_bytes"] or ""), figure(row["ours"], row["unit"]), row["peer"] or "",
                      figure(row["peer_value"], row["unit"]) if row["peer"] else "", ratio if row["peer"] else "", target(row)))
        if row["note"]:
            notes.append(f"  {row['name']} {row['frame_bytes'] or ''} {row['peer'] or ''}: {row['note']}")
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    text = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines]
    text.insert(1, "  ".join("-" * width for width in widths))
    for direction, cycles in report["curves"].get("cycles_per_step", {}).items():
        parts = cycles["error"] if "error" in cycles else ", ".join(f"{name} {value:.1f}" for name, value in cycles.items())
        text.append(f"cycles per 64-byte frame, {direction}: {parts}")
    generator = report["curves"].get("generator", {})
    if "cycles_per_frame" in generator:
        text.append(f"the in-memory port alone, receive and send: {generator['cycles_per_frame']:.1f} cycles per frame")
    return "\n".join(text + ["notes:"] + notes)
