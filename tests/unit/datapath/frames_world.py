# SPDX-License-Identifier: BSD-2-Clause
"""The world of the cases, and how a case is written down."""
import logging

logging.getLogger("scapy.runtime").setLevel(logging.ERROR)

from scapy.config import conf  # noqa: E402

conf.ipv6_enabled = True

from scapy.layers.inet import ICMP, IP, TCP, UDP  # noqa: E402
from scapy.layers.inet6 import IPv6  # noqa: E402
from scapy.layers.l2 import Ether  # noqa: E402
from scapy.packet import Raw  # noqa: E402

SHARED_MAC, SHARED, SHARED6 = "02:00:00:00:00:01", "10.0.0.1", "2001:db8::1"
THREE_MAC, THREE, THREE6 = "02:00:00:00:00:30", "10.0.0.30", "2001:db8::30"
FOUR_MAC, FOUR, FOUR6 = "02:00:00:00:00:40", "10.0.0.40", "2001:db8::40"
THREE_LL, FOUR_LL, SHARED_LL = "fe80::ff:fe00:30", "fe80::ff:fe00:40", "fe80::ff:fe00:1"
PEER_MAC, PEER, PEER6 = "02:00:00:00:0f:01", "10.0.0.200", "2001:db8::200"
PEER_LL = "fe80::ff:fe00:f01"
ROUTER_MAC, ROUTER, ROUTER6 = "02:00:00:00:0f:fe", "10.0.0.254", "2001:db8::254"
FAR, FAR6 = "192.0.2.77", "2001:db8:77::1"
BROADCAST = "ff:ff:ff:ff:ff:ff"
SUBNET_BROADCAST = "10.0.0.255"

# Owners by port; 13 owns 9000 and is not attached; 81 is quarantined, 22 reserved, 8 free.
TCP_PORTS = {1: 80, 2: 443}
UDP_PORTS = {1: 53, 2: 5353}
GONE, QUARANTINED, RESERVED, FREE = 9000, 81, 22, 8

PARTIAL, CSUM_OK, GSO4, GSO6, PAD = 2, 4, 8, 16, 1


def group_mac(address):
    """The MAC address of an IPv4 or IPv6 group."""
    if ":" in address:
        from scapy.utils6 import in6_getnsmac
        from scapy.pton_ntop import inet_pton
        import socket
        return in6_getnsmac(inet_pton(socket.AF_INET6, address))
    numbers = [int(part) for part in address.split(".")]
    return f"01:00:5e:{numbers[1] & 127:02x}:{numbers[2]:02x}:{numbers[3]:02x}"


def verdict(drop="none", slot=0, to_wire=False, targets=(), reply=False, hold=False, released=False):
    return {"drop": drop, "slot": slot, "to_wire": to_wire, "targets": sorted(targets), "reply": reply, "hold": hold,
            "released": released}


def to(slot, **more):
    return verdict(slot=slot, **more)


def drop(name, **more):
    return verdict(drop="drop_" + name, **more)


def answered(**more):
    return verdict(reply=True, **more)


def targets(*slots, **more):
    return verdict(targets=slots, **more)


OUT = verdict(to_wire=True)


def wire(packet, expect, at_us=0, check=None, **more):
    """A frame from the wire. `more`: cut (bytes given, of a longer frame), take (tokens that are released then)."""
    return step(0, packet, expect, at_us, check, more)


def guest(slot, packet, expect, at_us=0, check=None, **more):
    """A frame from a guest. `more`: offload."""
    return step(slot, packet, expect, at_us, check, more)


def step(origin, packet, expect, at_us, check, more):
    frame = packet if isinstance(packet, bytes) else bytes(packet)
    made = {"from": origin, "frame": frame.hex(), "expect": expect, "at_us": at_us, **more}
    if check is not None:
        made["check"] = check
    return made


def case(name, *steps, variants=True, **network):
    """`variants`: may also be run with a priority tag and inside a VLAN."""
    return {"name": name, "steps": list(steps), "network": network, "variants": variants}


def from_peer(to_mac=SHARED_MAC, from_mac=PEER_MAC):
    return Ether(dst=to_mac, src=from_mac)


def untagged(frame):
    """The frame without the tag that the VLAN variants of a case give it."""
    return frame[:12] + frame[16:] if frame[12:14] == b"\x81\x00" else frame


def recomputed(frame):
    """The same frame with every length and checksum made anew by scapy."""
    packet = Ether(frame)
    layer = packet
    while layer:
        if isinstance(layer, ICMP) and layer.type == 3:
            layer = layer.copy()
            break
        layer = layer.payload if layer.payload else None
    for kind, fields in ((IP, ("chksum", "len")), (IPv6, ("plen",)), (TCP, ("chksum",)), (UDP, ("chksum", "len")),
                         (ICMP, ("chksum",))):
        if packet.haslayer(kind):
            for field in fields:
                packet[kind].delfieldval(field)
    for layer in packet.layers():
        if layer.__name__.startswith("ICMPv6") and hasattr(packet[layer], "cksum"):
            packet[layer].delfieldval("cksum")
            break
    return bytes(packet)


def check_answer(made, frame):
    """What is wrong with an answer, or None."""
    if not frame:
        return "no answer"
    plain = untagged(frame)
    try:
        problem = made["check"](Ether(plain))
    except (AttributeError, IndexError, TypeError) as error:
        return f"{error!r} in {Ether(plain).summary()}"
    if problem is not None and problem is not True:
        return f"{problem} in {Ether(plain).show2(dump=True)}"
    return None


def same(packet, **expected):
    """Compares fields: layer_field=value; returns what differs."""
    wrong = []
    for name, value in expected.items():
        layer, field = name.split("__")
        found = getattr(packet.getlayer(layer), field)
        if str(found) != str(value):
            wrong.append(f"{layer}.{field} is {found}, not {value}")
    if not packet.haslayer("IPerror") and not packet.haslayer("IPerror6") and \
            not (packet.haslayer(IP) and (packet[IP].frag or "MF" in str(packet[IP].flags))) and \
            not packet.haslayer("IPv6ExtHdrFragment") and recomputed(bytes(packet)) != bytes(packet):
        wrong.append("a checksum or length is wrong")
    return "; ".join(wrong) or None


__all__ = [name for name in dir() if not name.startswith("_")] + ["Raw"]
