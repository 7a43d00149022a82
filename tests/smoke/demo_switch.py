# SPDX-License-Identifier: BSD-2-Clause
"""The demo's last step: a guest under constant load moves to a VF and back, ten times."""

import time

import applications
import switch_plot
import switching
from quantile import quantile

GUEST, TIMES, SETTLE_S, PER_SECOND, BYTES_PER_S, BIN_S = "db-files", 10, 0.2, 5000, 12_000_000, 0.1
HEAD = "       to       took    drained   lost  doubled  reordered    longest pause in, out"


def _row(number, switch, load):
    inbound, outbound = (switch.pause_us(stream) / 1000 for stream in load.streams)
    lost, doubled, reordered = (switch.count(what, load.streams) for what in ("lost", "doubled", "reordered"))
    drained = switch.drained if switch.to == "direct" else ""
    return (f"  {number:>2}   {switch.to:<6} {switch.took_us / 1000:>6.1f} ms {drained:>7} {lost:>6} {doubled:>8} {reordered:>10}"
            f"    {inbound:>7.1f} ms {outbound:>7.1f} ms")


def _under_load(lab, url):
    with applications.Download(lab, url, bytes_per_s=BYTES_PER_S) as download:
        download.wait_for(1_000_000)
        with switching.Load(lab, GUEST, PER_SECOND) as load:
            began_ns = time.time_ns()
            switches = switching.bounce(lab, GUEST, TIMES, SETTLE_S)
            idle = switching.idle_spans(2 * TIMES, 0.01)
            ended_ns = time.time_ns()
        return download, load, switches, idle, began_ns, ended_ns, download.finish()


def _plot(path, download, load, switches, began_ns, ended_ns):
    seconds = (ended_ns - began_ns) / 1e9
    began = time.monotonic() - (time.time_ns() - began_ns) / 1e9
    streams = [[((at - began_ns) / 1e9, value) for at, value in
                ((at_ns, stream.per_second(at_ns - BIN_S * 5e8, at_ns + BIN_S * 5e8))
                 for at_ns in range(began_ns, ended_ns, int(BIN_S * 1e9)))] for stream in load.streams]
    arrivals = switch_plot.binned([at - began for at in download.arrivals], [size / 1e6 for size in download.sizes], seconds, BIN_S)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(switch_plot.draw(
        "A guest under load moves to a VF and back",
        f"{2 * TIMES} switches; lost {sum(s.lost for s in load.streams)}, doubled {sum(s.doubled for s in load.streams)}, "
        f"reordered {sum(s.reordered for s in load.streams)} of {sum(s.sent for s in load.streams):,} datagrams. "
        "VFs are ports of a Linux bridge, no NIC's.",
        seconds, arrivals, *streams,
        [((s.began_ns - began_ns) / 1e9, (s.ended_ns - began_ns) / 1e9, s.to) for s in switches]))


def run(demo, sha256, svg):
    """The step. Results go to demo.result()."""
    lab, screen = demo.lab, demo.screen
    lab.guest(GUEST, applications.nginx(lab.directory, name=GUEST), "--dedicated")
    address = lab.ctl("guest", GUEST)["ipv4"].split("/")[0]
    lab.wait_for_tcp(address, 80)
    screen.command("librettosctl vf")
    screen.output(lab.ctl_text("vf"))
    screen.command(f"curl http://{address}/large | sha256sum & {PER_SECOND} datagrams per second each way &")
    screen.command(f"for i in {{1..{TIMES}}}; do librettosctl switch {GUEST} direct; librettosctl switch {GUEST} server; done")
    download, load, switches, idle, began_ns, ended_ns, received = _under_load(lab, f"http://{address}/large")
    screen.output("\n".join([HEAD] + [_row(number + 1, switch, load) for number, switch in enumerate(switches)]))
    lost, doubled, reordered = (sum(getattr(stream, what) for stream in load.streams) for what in ("lost", "doubled", "reordered"))
    sent = sum(stream.sent for stream in load.streams)
    demo.result("datagrams over the switches", not (lost or doubled or reordered), sent, "datagrams",
                f"of {sent} datagrams {lost} were lost, {doubled} doubled, {reordered} out of order")
    demo.result("download over the switches", received == sha256, round(download.pause_s(0) * 1000, 1), "ms pause",
                "the download's checksum is " + ("right" if received == sha256 else "WRONG"))
    pauses = [switch.pause_us(stream) / 1000 for switch in switches for stream in load.streams]
    without = [stream.pause_us(*span) / 1000 for span in idle for stream in load.streams]
    median, usual = (round(quantile(values, 0.5), 1) for values in (pauses, without))
    demo.result("pause of a switch", True, median, "ms median",
                f"longest pause of the datagrams around a switch: {median} ms in the median; in as long a time without: {usual} ms")
    _plot(svg, download, load, switches, began_ns, ended_ns)
    screen.line(f"    {svg}")
