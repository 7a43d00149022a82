# SPDX-License-Identifier: BSD-2-Clause
"""Cases of frames from the wire."""
import socket

from scapy.layers.inet import IPOption_LSRR, IPOption_NOP, IPOption_RR, fragment
from scapy.layers.inet6 import (ICMPv6DestUnreach, ICMPv6EchoReply, ICMPv6EchoRequest, ICMPv6ND_NA, ICMPv6ND_NS,
                                ICMPv6ND_RA, ICMPv6ND_Redirect, ICMPv6ND_RS, ICMPv6NDOptDstLLAddr,
                                ICMPv6NDOptPrefixInfo, ICMPv6NDOptSrcLLAddr, ICMPv6PacketTooBig, ICMPv6TimeExceeded,
                                IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, IPv6ExtHdrRouting, PadN,
                                fragment6)
from scapy.layers.l2 import ARP, Dot1Q
from scapy.pton_ntop import inet_ntop, inet_pton
from scapy.utils6 import in6_getnsma

from frames_world import *  # noqa: F403

P = from_peer()


def ip(dst=SHARED, src=PEER, **more):
    return P / IP(dst=dst, src=src, **more)


def ip6(dst=SHARED6, src=PEER6, **more):
    return P / IPv6(dst=dst, src=src, **more)


def ports():
    cases = []
    both = (("v4", ip(), "IP", SHARED, PEER), ("v6", ip6(), "IPv6", SHARED6, PEER6))
    for family, base, layer, own, peer in both:
        for slot in (1, 2):
            for name, l4, port in (("tcp", TCP, TCP_PORTS[slot]), ("udp", UDP, UDP_PORTS[slot])):
                for size in (0, 1, 17, 1400):
                    cases.append(case(f"{name} {family} to guest {slot}, {size} bytes",
                                      wire(base / l4(dport=port, sport=40000) / Raw(b"x" * size), to(slot))))
        for name, l4 in (("tcp", TCP), ("udp", UDP)):
            cases.append(case(f"{name} {family} owner gone", wire(base / l4(dport=GONE), drop("guest_gone"))))
        for state, port in (("free", FREE), ("quarantined", QUARANTINED), ("reserved", RESERVED)):
            reset = lambda p, layer=layer, own=own, peer=peer, port=port: same(
                p, Ether__dst=PEER_MAC, Ether__src=SHARED_MAC, TCP__sport=port, TCP__dport=3333, TCP__flags="RA",
                TCP__seq=0, TCP__ack=1001, **{f"{layer}__src": own, f"{layer}__dst": peer})
            cases.append(case(f"syn {family} to {state} port",
                              wire(base / TCP(dport=port, sport=3333, seq=1000, flags="S"),
                                   drop("unowned_port", reply=True), check=reset)))
        cases += resets(family, base)
        cases += unreachables(family, base, layer, own, peer)
    cases.append(case("port 65535 is like any other", wire(ip() / UDP(dport=65535), drop("unowned_port", reply=True),
                                                           check=lambda p: same(p, ICMP__code=3))))
    return cases


def resets(family, base):
    def segment(flags, **more):
        return base / TCP(dport=FREE, sport=3333, seq=0xfffffff0, ack=77, flags=flags, **more)
    cases = []
    for flags, data, ack in (("S", 0, 0xfffffff1), ("F", 0, 0xfffffff1), ("SF", 20, 6), ("P", 100, 84), ("", 3, 0xfffffff3)):
        cases.append(case(f"{family} reset for '{flags}' with {data} bytes",
                          wire(segment(flags) / Raw(b"d" * data), drop("unowned_port", reply=True),
                               check=lambda p, ack=ack: same(p, TCP__flags="RA", TCP__seq=0, TCP__ack=ack))))
    for flags in ("A", "PA", "FA", "SA"):
        cases.append(case(f"{family} reset for '{flags}'",
                          wire(segment(flags) / Raw(b"data"), drop("unowned_port", reply=True),
                               check=lambda p: same(p, TCP__flags="R", TCP__seq=77))))
    for flags in ("R", "RA"):
        cases.append(case(f"{family} no reset for '{flags}'", wire(segment(flags), drop("unowned_port"))))
    cases.append(case(f"{family} silent tcp", wire(segment("S"), drop("unowned_port")), silent=True))
    cases.append(case(f"{family} silent udp", wire(base / UDP(dport=FREE), drop("unowned_port")), silent=True))
    cases.append(case(f"{family} reset needs a whole header", wire(segment("S", dataofs=15), drop("unowned_port"))))
    cases.append(case(f"{family} replies run out", *[
        wire(segment("S"), drop("unowned_port", reply=True) if i < 3 or i > 4 else drop("reply_rate"),
             at_us=1000 + (i > 4) * 400_000) for i in range(6)], replies_per_s=3))
    return cases


def unreachables(family, base, layer, own, peer):
    cases = []
    for size in (0, 8, 500, 1400):
        packet = base / UDP(dport=FREE, sport=999) / Raw(b"q" * size)
        quoted = bytes(packet[layer])

        def check(p, quoted=quoted, v4=family == "v4"):
            if v4:
                body, most = bytes(p[ICMP])[8:], 548
                fields = same(p, ICMP__type=3, ICMP__code=3, IP__src=SHARED, IP__dst=PEER, IP__ttl=64)
            else:
                body, most = bytes(p[IPv6].payload)[8:], 1232
                fields = same(p, ICMPv6DestUnreach__code=4, IPv6__src=SHARED6, IPv6__dst=PEER6)
            return fields or (None if body == quoted[:most] else "the quotation differs")
        cases.append(case(f"{family} port unreachable, {size} bytes",
                          wire(packet, drop("unowned_port", reply=True), check=check)))
    bad = (("127.0.0.1", "224.0.0.5", "255.255.255.255", SUBNET_BROADCAST, "0.0.0.0", SHARED, "240.0.0.1") if family == "v4"
           else ("::", "::1", "ff02::5", SHARED6))
    for source in bad:
        packet = base.copy()
        packet[layer].src = source
        for name, l4 in (("tcp", TCP(dport=FREE)), ("udp", UDP(dport=FREE))):
            cases.append(case(f"no answer to {name} from {source}", wire(packet / l4, drop("unowned_port"))))
        echo = ICMP() if family == "v4" else ICMPv6EchoRequest()
        cases.append(case(f"no echo reply to {source}", wire(packet / echo, drop("malformed"))))
    packet = base.copy()
    packet.src = "01:00:5e:00:00:05"
    cases.append(case(f"{family} no answer to a group's MAC", wire(packet / UDP(dport=FREE), drop("unowned_port"))))
    return cases


def headers():
    tcp = TCP(dport=80)
    cases = [
        case("ip options", wire(ip(options=[IPOption_NOP(), IPOption_RR(routers=["0.0.0.0"] * 3)]) / tcp, to(1))),
        case("ip source route is the guest's matter", wire(ip(options=[IPOption_LSRR(routers=[FAR])]) / tcp, to(1))),
        case("ip options of 40 bytes", wire(ip(options=[IPOption_NOP()] * 40) / tcp, to(1))),
        case("ip option too long", wire(ip(options=b"\x07\x20\x04\x00") / tcp, drop("malformed"))),
        case("ip option of length 1", wire(ip(options=b"\x07\x01\x04\x00") / tcp, drop("malformed"))),
        case("ip header length 4", wire(ip(ihl=4) / tcp, drop("malformed"))),
        case("ip header beyond the packet", wire(ip(ihl=15, len=40) / tcp, drop("malformed"))),
        case("ip total length beyond the frame", wire(ip(len=41) / tcp, drop("malformed"))),
        case("ip total length too short", wire(ip(len=19) / tcp, drop("malformed"))),
        case("ip total length cuts the tcp header", wire(ip(len=39) / tcp, drop("malformed"))),
        case("ip total length cuts the udp header", wire(ip(len=27) / UDP(dport=53), drop("malformed"))),
        case("ip version 5", wire(ip(version=5) / tcp, drop("malformed"))),
        case("ipv4 in ipv6's ethertype", wire(Ether(dst=SHARED_MAC, src=PEER_MAC, type=0x86dd) / bytes(IP(dst=SHARED) / tcp),
                                              drop("malformed"))),
        case("ethernet padding", wire(bytes(ip() / UDP(dport=53)) + b"\0" * 18, to(1))),
        case("a long frame of which the beginning is given",
             wire(bytes(ip(len=9000) / UDP(dport=53))[:42], to(1), frame_bytes=9014)),
        case("sctp", wire(ip(proto=132) / Raw(b"x" * 32), drop("unsupported_protocol"))),
        case("gre", wire(ip(proto=47) / Raw(b"x" * 32), drop("unsupported_protocol"))),
        case("icmpv6 over ipv4", wire(ip(proto=58) / Raw(b"x" * 32), drop("unsupported_protocol"))),
        case("icmp over ipv6", wire(ip6(nh=1) / Raw(b"x" * 32), drop("unsupported_protocol"))),
        case("ipv6 no next header", wire(ip6(nh=59), drop("unsupported_protocol"))),
        case("ipv6 payload beyond the frame", wire(ip6(plen=21) / tcp, drop("malformed"))),
        case("ipv6 payload cuts tcp", wire(ip6(plen=19) / tcp, drop("malformed"))),
        case("ipv6 version 4", wire(ip6(version=4) / tcp, drop("malformed"))),
        case("ethertype ipx", wire(Ether(dst=SHARED_MAC, src=PEER_MAC, type=0x8137) / Raw(b"x" * 46),
                                   drop("unknown_ethertype"))),
        case("802.3 length", wire(Ether(dst=SHARED_MAC, src=PEER_MAC, type=46) / Raw(b"x" * 46), drop("unknown_ethertype"))),
    ]
    extensions = {"hop-by-hop": IPv6ExtHdrHopByHop(options=[PadN(optdata=b"\0" * 4)]),
                  "destination options": IPv6ExtHdrDestOpt(options=[PadN(optdata=b"\0" * 12)]),
                  "routing": IPv6ExtHdrRouting(addresses=[]), "atomic fragment": IPv6ExtHdrFragment()}
    for name, header in extensions.items():
        cases.append(case(f"ipv6 {name}, tcp", wire(ip6() / header / TCP(dport=443), to(2))))
        cases.append(case(f"ipv6 {name}, udp", wire(ip6() / header / UDP(dport=5353), to(2))))
        cases.append(case(f"ipv6 {name} cut", wire(ip6(plen=6) / header / tcp, drop("malformed"))))
    many = ip6()
    for count in range(1, 10):
        many = many / IPv6ExtHdrDestOpt(options=[PadN(optdata=b"\0" * 4)])
        good = count < 8
        cases.append(case(f"ipv6 {count} extension headers", wire(many / tcp, to(1) if good else drop("malformed"))))
    authentication = bytes([6, 4]) + b"\0" * 22
    cases.append(case("ipv6 authentication header", wire(ip6(nh=51) / Raw(authentication + bytes(tcp)), to(1))))
    cases.append(case("ipv6 two fragment headers",
                      wire(ip6() / IPv6ExtHdrFragment(m=1) / IPv6ExtHdrFragment(m=1) / tcp, drop("malformed"))))
    return cases


def addressing():
    tcp = TCP(dport=80)
    cases = [
        case("another host's mac", wire(from_peer("02:00:00:00:0e:99") / IP(dst=SHARED, src=PEER) / tcp, drop("not_for_us"))),
        case("shared mac, another's ip", wire(ip("10.0.0.99") / tcp, drop("not_for_us"))),
        case("shared mac, dedicated ip", wire(ip(THREE) / tcp, drop("not_for_us"))),
        case("shared mac, dedicated ipv6", wire(ip6(THREE6) / tcp, drop("not_for_us"))),
        case("dedicated mac, another dedicated ip", wire(from_peer(THREE_MAC) / IP(dst=FOUR) / tcp, drop("not_for_us"))),
        case("dedicated mac, shared ip", wire(from_peer(THREE_MAC) / IP(dst=SHARED) / tcp, drop("not_for_us"))),
        case("dedicated mac, another's ip", wire(from_peer(FOUR_MAC) / IP(dst="10.0.0.99") / tcp, drop("not_for_us"))),
        case("group mac, host's ip", wire(from_peer(BROADCAST) / IP(dst=SHARED, src=PEER) / tcp, drop("not_for_us"))),
        case("a guest's own broadcast comes back", wire(from_peer(BROADCAST, THREE_MAC) / IP(dst=SUBNET_BROADCAST) / UDP(),
                                                        drop("not_for_us"))),
        case("the shared mac's own arp comes back", wire(from_peer(BROADCAST, SHARED_MAC) / ARP(pdst=THREE, psrc=PEER),
                                                         drop("not_for_us"))),
    ]
    for slot, mac, v4, v6, local in ((3, THREE_MAC, THREE, THREE6, THREE_LL), (4, FOUR_MAC, FOUR, FOUR6, FOUR_LL)):
        to_it = from_peer(mac)
        for name, packet in (("tcp", TCP(dport=80)), ("unowned udp", UDP(dport=FREE)), ("reserved", TCP(dport=22)),
                             ("echo", ICMP()), ("echo reply", ICMP(type=0)), ("redirect", ICMP(type=5))):
            cases.append(case(f"{name} v4 to dedicated {slot}", wire(to_it / IP(dst=v4, src=FAR) / packet, to(slot))))
        for name, packet in (("tcp", TCP(dport=80)), ("udp", UDP(dport=FREE)), ("echo", ICMPv6EchoRequest()),
                             ("too big", ICMPv6PacketTooBig(mtu=1280))):
            cases.append(case(f"{name} v6 to dedicated {slot}", wire(to_it / IPv6(dst=v6, src=FAR6) / packet, to(slot))))
            cases.append(case(f"{name} v6 to link-local of {slot}", wire(to_it / IPv6(dst=local, src=PEER_LL) / packet, to(slot))))
        cases.append(case(f"any protocol to dedicated {slot}",
                          wire(to_it / IP(dst=v4, src=FAR, proto=132) / Raw(b"x" * 20), to(slot)),
                          wire(to_it / IP(dst=v4, src=FAR, proto=50) / Raw(b"x" * 20), to(slot)),
                          wire(to_it / IP(dst=v4, src=FAR, frag=100) / Raw(b"x" * 20), to(slot))))
    return cases


def vlans():
    tcp = IP(dst=SHARED, src=PEER) / TCP(dport=80)
    frame = lambda *tags: bytes(_tagged(tags) / tcp)

    def _tagged(tags):
        packet = P.copy()
        for vid, prio in tags:
            packet = packet / Dot1Q(vlan=vid, prio=prio)
        return packet
    one = lambda name, expect, *tags, **network: case(f"vlan: {name}", wire(frame(*tags), expect), variants=False, **network)
    return [
        one("tag where none is wanted", drop("vlan"), (7, 0)),
        one("priority tag", to(1), (0, 5)),
        one("right tag", to(1), (7, 0), vlan=7),
        one("right tag with priority", to(1), (7, 6), vlan=7),
        one("wrong tag", drop("vlan"), (8, 0), vlan=7),
        one("no tag", drop("vlan"), vlan=7),
        one("priority tag where ours is wanted", drop("vlan"), (0, 3), vlan=7),
        one("two tags", drop("vlan"), (7, 0), (9, 0), vlan=7),
        case("vlan: answer carries the tag as it came",
             wire(P / Dot1Q(vlan=7, prio=5) / ARP(pdst=SHARED, psrc=PEER, hwsrc=PEER_MAC), answered()), variants=False, vlan=7),
    ]


def fragments():
    cases = []
    payload = Raw(bytes(range(256)) * 12)
    v4 = fragment(ip(id=0x1234) / UDP(dport=53, sport=5000) / payload, fragsize=1000)
    v6 = fragment6(ip6() / IPv6ExtHdrFragment(id=0x12345678) / UDP(dport=53, sport=5000) / payload, 1000)
    for family, parts in (("v4", v4), ("v6", v6)):
        first, *later = parts
        n = len(later)
        cases += [
            case(f"{family} fragments in order", *[wire(part, to(1), at_us=i) for i, part in enumerate(parts)]),
            case(f"{family} fragments, late ones repeated", wire(first, to(1)), *[wire(x, to(1)) for x in later + later]),
            case(f"{family} fragments, the first last",
                 *[wire(x, verdict(hold=True), at_us=i) for i, x in enumerate(later)],
                 wire(first, to(1, released=True), at_us=n, take=n)),
            case(f"{family} fragments backwards",
                 *[wire(x, verdict(hold=True)) for x in reversed(later)], wire(first, to(1, released=True), take=n)),
            case(f"{family} fragments, one before", wire(later[0], verdict(hold=True)),
                 wire(first, to(1, released=True), take=1), *[wire(x, to(1)) for x in later[1:]]),
            case(f"{family} first fragment twice", wire(first, to(1)), wire(first, to(1)), wire(later[0], to(1))),
            case(f"{family} fragments after 29 s", wire(first, to(1)), wire(later[0], to(1), at_us=29_000_000)),
            case(f"{family} fragments after 31 s", wire(first, to(1)), wire(later[0], verdict(hold=True), at_us=31_000_000)),
        ]
        for name, l4, port, expect in (("gone", UDP, GONE, drop("guest_gone")),
                                       ("free", UDP, FREE, drop("unowned_port", reply=True))):
            base = ip(id=5) if family == "v4" else ip6() / IPv6ExtHdrFragment(id=5)
            cut = fragment if family == "v4" else fragment6
            some = cut(base / l4(dport=port) / payload, 1000)
            cases.append(case(f"{family} fragments to a {name} port", wire(some[0], expect),
                              *[wire(x, drop("fragment_orphan")) for x in some[1:]]))
    cases += [
        case("ids tell datagrams apart", wire(v4[0], to(1)),
             wire(fragment(ip(id=0x1235) / UDP(dport=5353) / payload, 1000)[0], to(2)), wire(v4[1], to(1)),
             wire(fragment(ip(id=0x1235) / UDP(dport=5353) / payload, 1000)[1], to(2))),
        case("sources tell datagrams apart", wire(v4[0], to(1)),
             wire(fragment(ip(id=0x1234, src=FAR) / UDP(dport=53) / payload, 1000)[1], verdict(hold=True))),
        case("first fragment without ports", wire(ip(flags="MF", proto=17) / Raw(b"\0\x35"), drop("malformed"))),
        case("first fragment of 4 bytes of tcp", wire(ip(flags="MF", proto=6) / Raw(b"\0\x50\0\x50"), drop("malformed"))),
        case("first fragment of 8 bytes of tcp", wire(ip(flags="MF", proto=6) / Raw(b"\x10\0\0\x50\0\0\0\0"), to(1))),
        case("v6 first fragment without ports",
             wire(ip6() / IPv6ExtHdrFragment(m=1, nh=17) / Raw(b"\0\x35"), drop("malformed"))),
        case("later fragment of another protocol", wire(ip(proto=132, frag=3) / Raw(b"x" * 16), drop("unsupported_protocol"))),
        case("65 early fragments of one source",
             *[wire(ip(id=i, frag=9, proto=17) / Raw(b"x" * 16), verdict(hold=True), room=i < 64) for i in range(65)]),
        case("300 early fragments of many sources",
             *[wire(ip(id=7, frag=9, proto=17, src=f"10.9.{i % 10}.1") / Raw(b"x" * 16), verdict(hold=True), room=i < 256)
               for i in range(300)], variants=False),
    ]
    return cases


def pings():
    cases = []

    def echo_check(request, data):
        def check(p):
            layer, reply = ("IP", ICMP) if IP in p else ("IPv6", ICMPv6EchoReply)
            if reply is ICMP:
                fields = same(p, ICMP__type=0, ICMP__id=77, ICMP__seq=3, IP__src=SHARED, IP__dst=PEER, IP__ttl=64)
                body = bytes(p[ICMP].payload)
            else:
                fields = same(p, ICMPv6EchoReply__id=77, ICMPv6EchoReply__seq=3, IPv6__src=SHARED6, IPv6__dst=PEER6)
                body = p[ICMPv6EchoReply].data
            mac = same(p, Ether__dst=PEER_MAC, Ether__src=SHARED_MAC)
            return fields or mac or (None if body == data else f"{layer}: the data differs")
        return check
    for size in (0, 1, 56, 1400, 8000):
        data = bytes(i & 255 for i in range(size))
        v4, v6 = ip() / ICMP(id=77, seq=3) / data, ip6() / ICMPv6EchoRequest(id=77, seq=3, data=data)
        cases.append(case(f"ping {size} bytes", wire(v4, answered(), check=echo_check(v4, data))))
        cases.append(case(f"ping6 {size} bytes", wire(v6, answered(), check=echo_check(v6, data))))
    opt = ip(options=[IPOption_RR(routers=["0.0.0.0"])]) / ICMP(id=77, seq=3) / b"data"
    ext = ip6() / IPv6ExtHdrDestOpt() / ICMPv6EchoRequest(id=77, seq=3, data=b"data")
    cases += [
        case("ping with options", wire(opt, answered(), check=echo_check(opt, b"data"))),
        case("ping6 with destination options", wire(ext, answered(), check=echo_check(ext, b"data"))),
        case("ping padded", wire(bytes(ip() / ICMP(id=77, seq=3)) + b"\0" * 18, answered(), check=echo_check(None, b""))),
        case("ping of which the end is not given", wire(bytes(ip() / ICMP() / (b"x" * 3000))[:2048], drop("too_long"),
                                                        frame_bytes=3042)),
        case("icmp of 4 bytes", wire(ip(proto=1) / Raw(b"\x08\0\0\0"), drop("malformed"))),
        case("ping flood", *[wire(ip() / ICMP(), answered() if i < 5 else drop("reply_rate"), at_us=1) for i in range(9)],
             replies_per_s=5),
        case("timestamp request", wire(ip() / ICMP(type=13), drop("icmp_unmatched"))),
        case("redirect", wire(ip() / ICMP(type=5) / IP(src=SHARED) / UDP(sport=53), drop("icmp_unmatched"))),
        case("reply nobody waits for", wire(ip() / ICMP(type=0, id=5), drop("icmp_unmatched"))),
        case("reply6 nobody waits for", wire(ip6() / ICMPv6EchoReply(id=5), drop("icmp_unmatched"))),
    ]
    cases += big_pings()
    return cases


def big_pings():
    """60,000 bytes: each fragment is answered as a fragment; together they are the echo reply that scapy would make."""
    data = bytes((i * 7) & 255 for i in range(60000))
    cases = []
    request4 = ip(id=999) / ICMP(id=9, seq=1) / data
    reply4 = Ether(src=SHARED_MAC, dst=PEER_MAC) / IP(src=SHARED, dst=PEER, id=999, ttl=64) / ICMP(type=0, id=9, seq=1) / data
    request6 = ip6() / IPv6ExtHdrFragment(id=99) / ICMPv6EchoRequest(id=9, seq=1, data=data)
    reply6 = (Ether(src=SHARED_MAC, dst=PEER_MAC) / IPv6(src=SHARED6, dst=PEER6) / IPv6ExtHdrFragment(id=99)
              / ICMPv6EchoReply(id=9, seq=1, data=data))
    for name, cut, request, reply in (("ping", fragment, request4, reply4), ("ping6", fragment6, request6, reply6)):
        size = 1480 if name == "ping" else 1500
        asked, expected = cut(request, size), cut(reply, size)
        assert len(asked) == len(expected)

        def check(wanted):
            def compare(p):
                mine, theirs = bytes(p), bytes(wanted)
                return None if mine == theirs else f"differs from {theirs[:80].hex()}, is {mine[:80].hex()}"
            return compare
        steps = [wire(a, answered(), check=check(e)) for a, e in zip(asked, expected)]
        cases.append(case(f"{name} of 60,000 bytes", *steps))
        cases.append(case(f"{name} of 60,000 bytes, out of order", *reversed(steps)))
    return cases


def errors():
    cases = []
    kinds = (("unreachable", ICMP(type=3, code=1)), ("too big", ICMP(type=3, code=4, nexthopmtu=1300)),
             ("quench", ICMP(type=4)), ("exceeded", ICMP(type=11)), ("parameter", ICMP(type=12)))
    kinds6 = (("unreachable", ICMPv6DestUnreach()), ("too big", ICMPv6PacketTooBig(mtu=1280)),
              ("exceeded", ICMPv6TimeExceeded()))
    for slot in (1, 2):
        for proto, l4, table in (("tcp", TCP, TCP_PORTS), ("udp", UDP, UDP_PORTS)):
            quoted = l4(sport=table[slot], dport=999) / Raw(b"z" * 60)
            for kind, error in kinds:
                whole = ip(src=ROUTER) / error / IP(src=SHARED, dst=FAR) / quoted
                cases.append(case(f"{kind} about {proto} of {slot}", wire(whole, to(slot))))
                short = ip(src=ROUTER) / error / bytes(IP(src=SHARED, dst=FAR) / quoted)[:28]
                cases.append(case(f"{kind} about {proto} of {slot}, 8 bytes quoted", wire(short, to(slot))))
            for kind, error in kinds6:
                whole = ip6(src=ROUTER6) / error / IPv6(src=SHARED6, dst=FAR6) / quoted
                cases.append(case(f"v6 {kind} about {proto} of {slot}", wire(whole, to(slot))))
                extended = ip6(src=ROUTER6) / error / IPv6(src=SHARED6, dst=FAR6) / IPv6ExtHdrDestOpt() / quoted
                cases.append(case(f"v6 {kind} about {proto} of {slot}, quoted options", wire(extended, to(slot))))
    about = lambda inner: ip(src=ROUTER) / ICMP(type=3, code=4) / inner
    own = IP(src=SHARED, dst=FAR)
    cases += [
        case("error with options quoted", wire(about(IP(src=SHARED, dst=FAR, options=[IPOption_NOP()] * 4) / TCP(sport=443)), to(2))),
        case("error about nobody's port", wire(about(own / TCP(sport=FREE)), drop("icmp_unmatched"))),
        case("error about a gone guest", wire(about(own / TCP(sport=GONE)), drop("guest_gone"))),
        case("error about another's packet", wire(about(IP(src=FAR, dst=PEER) / TCP(sport=80)), drop("icmp_unmatched"))),
        case("error about a later fragment", wire(about(IP(src=SHARED, dst=FAR, frag=5) / TCP(sport=80)), drop("icmp_unmatched"))),
        case("error that quotes too little", wire(about(Raw(bytes(own / TCP(sport=80))[:22])), drop("icmp_unmatched"))),
        case("error that quotes nothing", wire(about(Raw(b"")), drop("icmp_unmatched"))),
        case("error about sctp", wire(about(IP(src=SHARED, dst=FAR, proto=132) / Raw(b"x" * 20)), drop("icmp_unmatched"))),
        case("error about an error", wire(about(own / ICMP(type=3)), drop("icmp_unmatched"))),
        case("error about the server's own echo reply", wire(about(own / ICMP(type=0, id=7)), drop("icmp_unmatched"))),
    ]
    return cases


def arp_and_nd():
    def asks(target, mac=BROADCAST, psrc=PEER):
        return from_peer(mac) / ARP(op=1, hwsrc=PEER_MAC, psrc=psrc, pdst=target)

    def ns(target, mac=None, src=PEER6, dst=None, hlim=255, **more):
        dst = dst or inet_ntop(socket.AF_INET6, in6_getnsma(inet_pton(socket.AF_INET6, target)))
        option = ICMPv6NDOptSrcLLAddr(lladdr=PEER_MAC)
        body = ICMPv6ND_NS(tgt=target, **more) / option if src != "::" else ICMPv6ND_NS(tgt=target, **more)
        return from_peer(mac or group_mac(dst)) / IPv6(src=src, dst=dst, hlim=hlim) / body
    cases = []
    for name, address, mac in (("shared", SHARED, SHARED_MAC), ("dedicated", THREE, THREE_MAC), ("other", FOUR, FOUR_MAC)):
        for way, eth in (("broadcast", BROADCAST), ("unicast", mac)):
            cases.append(case(f"arp for the {name} address, {way}", wire(asks(address, eth), answered(), check=lambda p, a=address, m=mac: same(
                p, Ether__dst=PEER_MAC, Ether__src=m, ARP__op=2, ARP__hwsrc=m, ARP__psrc=a, ARP__hwdst=PEER_MAC, ARP__pdst=PEER))))
        cases.append(case(f"arp probe of the {name} address", wire(asks(address, psrc="0.0.0.0"), answered(), check=lambda p, a=address: same(
            p, ARP__psrc=a, ARP__pdst="0.0.0.0"))))
    for name, address, mac in (("shared", SHARED6, SHARED_MAC), ("dedicated", THREE6, THREE_MAC), ("link-local", FOUR_LL, FOUR_MAC)):
        solicited = lambda p, a=address, m=mac: same(
            p, Ether__dst=PEER_MAC, Ether__src=m, IPv6__src=a, IPv6__dst=PEER6, IPv6__hlim=255, ICMPv6ND_NA__tgt=a,
            ICMPv6ND_NA__S=1, ICMPv6ND_NA__O=1, ICMPv6ND_NA__R=0, ICMPv6NDOptDstLLAddr__lladdr=m)
        cases.append(case(f"ns for the {name} address", wire(ns(address), answered(), check=solicited)))
        cases.append(case(f"ns for the {name} address, unicast", wire(ns(address, mac, dst=address), answered(), check=solicited)))
        cases.append(case(f"duplicate detection of the {name} address", wire(ns(address, src="::"), answered(), check=lambda p, a=address: same(
            p, Ether__dst="33:33:00:00:00:01", IPv6__dst="ff02::1", ICMPv6ND_NA__tgt=a, ICMPv6ND_NA__S=0))))
    gratuitous = ARP(op=1, hwsrc=ROUTER_MAC, psrc=ROUTER, pdst=ROUTER)
    na = lambda dst, s=0: IPv6(src=ROUTER6, dst=dst, hlim=255) / ICMPv6ND_NA(tgt=ROUTER6, S=s, O=1) / ICMPv6NDOptDstLLAddr(lladdr=ROUTER_MAC)
    reply = lambda mac, pdst: from_peer(mac) / ARP(op=2, hwsrc=PEER_MAC, psrc=PEER, pdst=pdst, hwdst=mac)
    cases += [
        case("arp for another's address", wire(asks("10.0.0.99"), drop("not_for_us"))),
        case("arp reply nobody asked for", wire(reply(SHARED_MAC, SHARED), drop("not_for_us"))),
        case("arp reply to a dedicated guest", wire(reply(THREE_MAC, THREE), targets(3))),
        case("arp reply that claims our address", wire(from_peer(THREE_MAC) / ARP(op=2, hwsrc=PEER_MAC, psrc=SHARED), drop("not_for_us"))),
        case("arp cut", wire(bytes(asks(SHARED))[:41], drop("malformed"))),
        case("arp of another hardware", wire(from_peer(BROADCAST) / ARP(hwtype=6, pdst=SHARED), drop("malformed"))),
        case("rarp", wire(from_peer(BROADCAST) / ARP(op=3, pdst=SHARED, psrc=PEER), drop("malformed"))),
        case("gratuitous arp", wire(from_peer(BROADCAST) / gratuitous, targets(1, 2, 3, 4))),
        case("gratuitous arp for our address", wire(from_peer(BROADCAST) / ARP(op=1, hwsrc=PEER_MAC, psrc=SHARED, pdst=SHARED), drop("not_for_us"))),
        case("gratuitous arps are limited", *[wire(from_peer(BROADCAST) / gratuitous, targets(1, 2, 3, 4) if i < 100 else drop("reply_rate"))
                                              for i in range(103)]),
        case("ns for another's address", wire(ns("2001:db8::99"), drop("not_for_us"))),
        case("ns from afar", wire(ns(SHARED6, hlim=254), drop("malformed"))),
        case("ns with a bad checksum", wire(ns(SHARED6, cksum=0x1234), drop("malformed"))),
        case("ns with a code", wire(ns(SHARED6, code=1), drop("malformed"))),
        case("ns in fragments", wire(from_peer() / IPv6(src=PEER6, dst=SHARED6, hlim=255) / IPv6ExtHdrFragment(m=1) / ICMPv6ND_NS(tgt=SHARED6), drop("malformed"))),
        case("na nobody asked for", wire(from_peer(SHARED_MAC) / na(SHARED6, 1), drop("not_for_us"))),
        case("na to a dedicated guest", wire(from_peer(THREE_MAC) / na(THREE6, 1), targets(3))),
        case("unsolicited na", wire(from_peer(group_mac("ff02::1")) / na("ff02::1"), targets(1, 2, 3, 4))),
        case("ra", wire(from_peer(group_mac("ff02::1")) / IPv6(src=PEER_LL, dst="ff02::1", hlim=255) / ICMPv6ND_RA() /
                        ICMPv6NDOptPrefixInfo(prefix="2001:db8::"), targets(3, 4))),
        case("ra to the shared address", wire(P / IPv6(src=PEER_LL, dst=SHARED6, hlim=255) / ICMPv6ND_RA(), drop("icmp_unmatched"))),
        case("redirect6 to the shared address", wire(P / IPv6(src=PEER_LL, dst=SHARED6, hlim=255) / ICMPv6ND_Redirect(), drop("icmp_unmatched"))),
        case("redirect6 to a dedicated guest", wire(from_peer(THREE_MAC) / IPv6(src=PEER_LL, dst=THREE6, hlim=255) / ICMPv6ND_Redirect(), to(3))),
        case("rs", wire(from_peer(group_mac("ff02::2")) / IPv6(src=PEER_LL, dst="ff02::2", hlim=255) / ICMPv6ND_RS(), drop("no_listener"))),
    ]
    return cases


def groups_from_wire():
    udp = lambda dst, port, mac=None: from_peer(mac or group_mac(dst)) / IP(src=PEER, dst=dst) / UDP(dport=port, sport=99)
    udp6 = lambda dst, port: from_peer(group_mac(dst)) / IPv6(src=PEER_LL, dst=dst) / UDP(dport=port, sport=99)
    big = fragment(from_peer(BROADCAST) / IP(src=PEER, dst=SUBNET_BROADCAST, id=3) / UDP(dport=53) / Raw(b"x" * 2000), 1000)
    cases = [
        case("broadcast fragments", *[wire(x, targets(1, 3, 4)) for x in big]),
        case("multicast nobody joined", wire(udp("239.1.2.3", FREE), drop("no_listener"))),
        case("multicast to an owned port", wire(udp("224.0.0.251", 5353), targets(2))),
        case("multicast6 to an owned port", wire(udp6("ff02::fb", 5353), targets(2))),
        case("multicast6 nobody joined", wire(udp6("ff05::1:3", FREE), drop("no_listener"))),
        case("all hosts", wire(udp("224.0.0.1", FREE), targets(3, 4))),
        case("all nodes", wire(udp6("ff02::1", FREE), targets(3, 4))),
        case("igmp query", wire(from_peer(group_mac("224.0.0.1")) / IP(src=ROUTER, dst="224.0.0.1", proto=2) / Raw(b"\x11\x64\xee\x9b\0\0\0\0"), targets(3, 4))),
        case("echo to all", wire(from_peer(BROADCAST) / IP(src=PEER, dst=SUBNET_BROADCAST) / ICMP(), targets(3, 4))),
        case("tcp to all is never answered", wire(from_peer(BROADCAST) / IP(src=PEER, dst=SUBNET_BROADCAST) / TCP(dport=FREE), targets(3, 4))),
    ]
    for dst in ("255.255.255.255", SUBNET_BROADCAST):
        cases.append(case(f"udp to {dst}, owned port", wire(udp(dst, 53, BROADCAST), targets(1, 3, 4))))
        cases.append(case(f"udp to {dst}, unowned port", wire(udp(dst, FREE, BROADCAST), targets(3, 4))))
        cases.append(case(f"udp to {dst}, owner gone", wire(udp(dst, GONE, BROADCAST), targets(3, 4))))
    return cases


def wire_cases():
    return (ports() + headers() + addressing() + vlans() + fragments() + pings() + errors() + arp_and_nd() + groups_from_wire())
