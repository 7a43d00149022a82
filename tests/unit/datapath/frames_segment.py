# SPDX-License-Identifier: BSD-2-Clause
"""Large TCP frames with the segments that scapy makes of them, and packets with the checksums that scapy gives them."""
from scapy.layers.inet import IPOption_NOP
from scapy.layers.inet6 import ICMPv6EchoRequest
from scapy.layers.l2 import Dot1Q

from frames_world import *  # noqa: F403


def segment_cases():
    cases = []
    for family, network in (("v4", IP(src=SHARED, dst=FAR, id=65534, flags="DF")), ("v4 options", IP(src=SHARED, dst=FAR, id=7, options=[IPOption_NOP()] * 4)),
                            ("v6", IPv6(src=SHARED6, dst=FAR6, fl=77, tc=3))):
        for tagged in (False, True):
            for flags in ("A", "PA", "FPA", "CA", "CEPFA"):
                for size, gso in ((0, 1000), (1, 1000), (1000, 1000), (1001, 1000), (4321, 536), (60000, 1448), (3001, 333)):
                    if size == 60000 and flags != "PA":
                        continue
                    cases.append(segments(f"{family} {'tagged ' if tagged else ''}{flags} {size} by {gso}", network, tagged, flags, size, gso))
    return cases


def segments(name, network, tagged, flags, size, gso):
    link = Ether(dst=ROUTER_MAC, src=SHARED_MAC)
    link = link / Dot1Q(vlan=7, prio=2) if tagged else link
    data = bytes((i * 31 + 7) & 255 for i in range(size))
    options = [("Timestamp", (1, 2)), ("NOP", None), ("NOP", None)]
    tcp = lambda flags, seq: TCP(sport=80, dport=4000, seq=seq & 0xffffffff, ack=99, flags=flags, window=500, options=options)
    sequence = 0xffffff00
    starts = range(0, max(size, 1), gso)
    made = []
    for number, start in enumerate(starts):
        mine = flags if number == 0 else flags.replace("C", "")
        mine = mine if number == len(starts) - 1 else mine.replace("F", "").replace("P", "")
        layer = network.copy()
        if isinstance(layer, IP):
            layer.id = (network.id + number) & 0xffff
        made.append(bytes(link / layer / tcp(mine, sequence + start) / data[start:start + gso]).hex())
    return {"name": name, "frame": bytes(link / network / tcp(flags, sequence) / data).hex(), "gso_size": gso, "segments": made}


def checksum_cases():
    """IP packets, all of them right; `field`: where the transport checksum lies."""
    cases = []
    for size in list(range(0, 70)) + [1399, 1400, 65000]:
        data = bytes((i * 13 + 5) & 255 for i in range(size))
        for packet, field in ((IP(src=PEER, dst=FAR) / TCP() / data, 36), (IP(src=PEER, dst=FAR) / UDP() / data, 26), (IP(src=PEER, dst=FAR) / ICMP() / data, 22),
                              (IPv6(src=PEER6, dst=FAR6) / TCP() / data, 56), (IPv6(src=PEER6, dst=FAR6) / UDP() / data, 46),
                              (IPv6(src=PEER6, dst=FAR6) / ICMPv6EchoRequest(data=data), 42)):
            cases.append({"packet": bytes(packet).hex(), "field": field})
    return cases
