# SPDX-License-Identifier: BSD-2-Clause
"""Cases of frames from guests, and of what they set up for frames from the wire."""
from scapy.contrib.igmp import IGMP
from scapy.contrib.igmpv3 import IGMPv3, IGMPv3gr, IGMPv3mr
from scapy.layers.inet import IPOption_LSRR, IPOption_RR, IPOption_SSRR, fragment
from scapy.layers.inet6 import (ICMPv6DestUnreach, ICMPv6EchoReply, ICMPv6EchoRequest, ICMPv6MLDMultAddrRec, ICMPv6MLDone,
                                ICMPv6MLReport, ICMPv6MLReport2, ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6ND_RA, ICMPv6ND_RS,
                                ICMPv6NDOptDstLLAddr, ICMPv6NDOptSrcLLAddr, ICMPv6PacketTooBig, IPv6ExtHdrFragment,
                                IPv6ExtHdrHopByHop, IPv6ExtHdrRouting, RouterAlert, fragment6)
from scapy.layers.l2 import ARP, Dot1Q

from frames_world import *  # noqa: F403

SHARED_OUT = Ether(dst=ROUTER_MAC, src=SHARED_MAC)
IDENTITY = {1: (SHARED_MAC, SHARED, SHARED6), 2: (SHARED_MAC, SHARED, SHARED6), 3: (THREE_MAC, THREE, THREE6), 4: (FOUR_MAC, FOUR, FOUR6)}


def out(slot, to_mac=ROUTER_MAC):
    return Ether(dst=to_mac, src=IDENTITY[slot][0])


def ip(slot, dst=FAR, to_mac=ROUTER_MAC, **more):
    return out(slot, to_mac) / IP(src=more.pop("src", IDENTITY[slot][1]), dst=dst, **more)


def ip6(slot, dst=FAR6, to_mac=ROUTER_MAC, **more):
    return out(slot, to_mac) / IPv6(src=more.pop("src", IDENTITY[slot][2]), dst=dst, **more)


def own_ports():
    cases = []
    for slot in (1, 2):
        for family, base in (("v4", ip(slot)), ("v6", ip6(slot))):
            for name, l4, mine, others in (("tcp", TCP, TCP_PORTS[slot], TCP_PORTS[3 - slot]), ("udp", UDP, UDP_PORTS[slot], UDP_PORTS[3 - slot])):
                cases.append(case(f"guest {slot} {name} {family} from its port", guest(slot, base / l4(sport=mine) / Raw(b"hello"), OUT)))
                for why, port in (("another's", others), ("free", FREE), ("reserved", RESERVED), ("quarantined", QUARANTINED), ("gone", GONE)):
                    cases.append(case(f"guest {slot} {name} {family} from a {why} port", guest(slot, base / l4(sport=port), drop("foreign_port"))))
    for slot in (3, 4):
        for family, base in (("v4", ip(slot)), ("v6", ip6(slot))):
            for name, l4 in (("tcp", TCP(sport=80)), ("udp", UDP(sport=FREE))):
                cases.append(case(f"guest {slot} {name} {family} from any port", guest(slot, base / l4, OUT)))
    return cases


def spoofing():
    cases = []
    for slot in (1, 3):
        port = {1: 80, 3: 80}[slot]
        for mac in (PEER_MAC, BROADCAST, FOUR_MAC, SHARED_MAC if slot == 3 else THREE_MAC, "00:00:00:00:00:00"):
            cases.append(case(f"guest {slot} with mac {mac}", guest(slot, Ether(dst=ROUTER_MAC, src=mac) / IP(src=IDENTITY[slot][1], dst=FAR) / TCP(sport=port), drop("spoofed_mac"))))
            cases.append(case(f"guest {slot} arp from mac {mac}", guest(slot, Ether(dst=BROADCAST, src=mac) / ARP(), drop("spoofed_mac"))))
        for source in (PEER, FAR, "0.0.0.0", "127.0.0.1", "255.255.255.255", SUBNET_BROADCAST, FOUR, "224.0.0.1", SHARED if slot == 3 else THREE):
            for name, l4 in (("tcp", TCP(sport=port)), ("udp", UDP(sport=53)), ("icmp", ICMP())):
                cases.append(case(f"guest {slot} {name} as {source}", guest(slot, ip(slot, src=source) / l4, drop("spoofed_ip"))))
        for source in (PEER6, "::", "::1", "ff02::1", FOUR6, FOUR_LL, SHARED6 if slot == 3 else THREE6):
            for name, l4 in (("tcp", TCP(sport=port)), ("icmp", ICMPv6EchoRequest())):
                cases.append(case(f"guest {slot} {name} as {source}", guest(slot, ip6(slot, src=source) / l4, drop("spoofed_ip"))))
    cases += [
        case("dedicated link-local", guest(3, ip6(3, src=THREE_LL, dst=PEER_LL, to_mac=PEER_MAC) / UDP(sport=546), OUT)),
        case("shared link-local", guest(1, ip6(1, src=SHARED_LL, dst=PEER_LL, to_mac=PEER_MAC) / UDP(sport=53), drop("spoofed_ip"))),
        case("dhcp discover", guest(3, ip(3, src="0.0.0.0", dst="255.255.255.255", to_mac=BROADCAST) / UDP(sport=68, dport=67), targets(4, to_wire=True))),
        case("dhcp discover of a shared guest", guest(1, ip(1, src="0.0.0.0", dst="255.255.255.255", to_mac=BROADCAST) / UDP(sport=68, dport=67), drop("spoofed_ip"))),
        case("no address, not dhcp", guest(3, ip(3, src="0.0.0.0", dst="255.255.255.255", to_mac=BROADCAST) / UDP(sport=68, dport=68), drop("spoofed_ip"))),
        case("vlan from a guest", guest(3, out(3) / Dot1Q(vlan=5) / IP(src=THREE, dst=FAR) / TCP(), drop("vlan"))),
        case("vlan arp from a guest", guest(3, out(3) / Dot1Q(vlan=5) / ARP(), drop("vlan"))),
        case("runt", guest(1, b"\x02\0\0\0\0\1\x02\0\0\0\0\1\x08", drop("runt"))),
        case("nothing", guest(1, b"", drop("runt"))),
        case("ethertype lldp", guest(3, Ether(dst="01:80:c2:00:00:0e", src=THREE_MAC, type=0x88cc) / Raw(b"x" * 46), drop("unknown_ethertype"))),
        case("loose source route", guest(3, ip(3, options=[IPOption_LSRR(routers=[FAR])]) / TCP(), drop("malformed"))),
        case("strict source route", guest(1, ip(1, options=[IPOption_SSRR(routers=[FAR])]) / TCP(sport=80), drop("malformed"))),
        case("record route", guest(1, ip(1, options=[IPOption_RR(routers=["0.0.0.0"])]) / TCP(sport=80), OUT)),
        case("routing header 0", guest(3, ip6(3) / IPv6ExtHdrRouting(addresses=[FAR6]) / TCP(), drop("malformed"))),
        case("sctp of a shared guest", guest(1, ip(1, proto=132) / Raw(b"x" * 20), drop("unsupported_protocol"))),
        case("sctp of a dedicated guest", guest(3, ip(3, proto=132) / Raw(b"x" * 20), OUT)),
        case("tcp cut", guest(1, bytes(ip(1) / TCP(sport=80))[:50], drop("malformed"))),
    ]
    return cases


def guest_arp():
    who = lambda slot, target, **more: Ether(dst=BROADCAST, src=IDENTITY[slot][0]) / ARP(**{"op": 1, "hwsrc": IDENTITY[slot][0], "psrc": IDENTITY[slot][1], "pdst": target, **more})
    reply = from_peer() / ARP(op=2, hwsrc=PEER_MAC, psrc=PEER, hwdst=SHARED_MAC, pdst=SHARED)
    cases = [
        case("guests ask for a peer", guest(1, who(1, PEER), OUT), wire(reply, targets(1), at_us=1000),
             guest(2, who(2, PEER), OUT, at_us=2000), wire(reply, targets(1, 2), at_us=3000),
             wire(reply, targets(2), at_us=3_000_500), wire(reply, drop("not_for_us"), at_us=3_002_000)),
        case("a dedicated guest asks for a peer", guest(3, who(3, PEER), OUT),
             wire(from_peer(THREE_MAC) / ARP(op=2, hwsrc=PEER_MAC, psrc=PEER, pdst=THREE), targets(3))),
        case("announcement of the shared address", guest(1, who(1, SHARED), OUT)),
        case("probe of the shared address", guest(1, who(1, SHARED, psrc="0.0.0.0"), OUT)),
        case("announcement of a dedicated address", guest(3, who(3, THREE), targets(1, 2, 4, to_wire=True))),
        case("probe of a dedicated address", guest(3, who(3, THREE, psrc="0.0.0.0"), OUT)),
        case("probe of another's address", guest(3, who(3, FOUR, psrc="0.0.0.0"), drop("spoofed_arp"))),
        case("arp reply to a peer", guest(1, out(1, PEER_MAC) / ARP(op=2, hwsrc=SHARED_MAC, psrc=SHARED, pdst=PEER, hwdst=PEER_MAC), OUT)),
        case("arp reply to a local guest", guest(3, out(3, FOUR_MAC) / ARP(op=2, hwsrc=THREE_MAC, psrc=THREE, pdst=FOUR), to(4))),
        case("arp of a guest cut", guest(1, bytes(who(1, PEER))[:40], drop("malformed"))),
        case("rarp of a guest", guest(1, who(1, PEER, op=3), drop("malformed"))),
        case("arp with an offload", guest(1, who(1, PEER), drop("bad_offload"), offload={"flags": PARTIAL, "csum_start": 20, "csum_offset": 2})),
    ]
    for slot, target, mac in ((1, THREE, THREE_MAC), (3, SHARED, SHARED_MAC), (3, FOUR, FOUR_MAC), (4, THREE, THREE_MAC)):
        cases.append(case(f"guest {slot} asks for {target}", guest(slot, who(slot, target), answered(), check=lambda p, slot=slot, target=target, mac=mac: same(
            p, Ether__dst=IDENTITY[slot][0], ARP__op=2, ARP__hwsrc=mac, ARP__psrc=target, ARP__pdst=IDENTITY[slot][1], ARP__hwdst=IDENTITY[slot][0]))))
    for slot, field, value in ((1, "hwsrc", PEER_MAC), (1, "psrc", PEER), (1, "psrc", THREE), (3, "hwsrc", SHARED_MAC), (3, "psrc", SHARED), (3, "psrc", ROUTER), (3, "psrc", FOUR)):
        for op in (1, 2):
            cases.append(case(f"guest {slot} arp {op} with {field} {value}", guest(slot, who(slot, PEER, op=op, **{field: value}), drop("spoofed_arp"))))
    return cases


def guest_nd():
    def ns(slot, target, src=None, lladdr=None, dst="ff02::1:ff00:99"):
        src = src or IDENTITY[slot][2]
        body = ICMPv6ND_NS(tgt=target)
        if src != "::":
            body = body / ICMPv6NDOptSrcLLAddr(lladdr=lladdr or IDENTITY[slot][0])
        return out(slot, group_mac(dst)) / IPv6(src=src, dst=dst, hlim=255) / body

    def na(slot, target, lladdr=None, dst="ff02::1", mac=None):
        return out(slot, mac or group_mac(dst)) / IPv6(src=IDENTITY[slot][2], dst=dst, hlim=255) / ICMPv6ND_NA(tgt=target) / ICMPv6NDOptDstLLAddr(lladdr=lladdr or IDENTITY[slot][0])
    answer = from_peer() / IPv6(src=PEER6, dst=SHARED6, hlim=255) / ICMPv6ND_NA(tgt=PEER6, S=1) / ICMPv6NDOptDstLLAddr(lladdr=PEER_MAC)
    rs = lambda slot, lladdr: out(slot, group_mac("ff02::2")) / IPv6(src=IDENTITY[slot][2], dst="ff02::2", hlim=255) / ICMPv6ND_RS() / ICMPv6NDOptSrcLLAddr(lladdr=lladdr)
    is_na = lambda mac, target: lambda p: same(p, ICMPv6ND_NA__tgt=target, ICMPv6NDOptDstLLAddr__lladdr=mac, ICMPv6ND_NA__S=1)
    return [
        case("ns for a peer", guest(1, ns(1, PEER6), OUT), wire(answer, targets(1)), guest(2, ns(2, PEER6), OUT), wire(answer, targets(1, 2)), wire(answer, drop("not_for_us"), at_us=4_000_000)),
        case("shared guest's ns for a dedicated address", guest(1, ns(1, THREE6), answered(), check=is_na(THREE_MAC, THREE6))),
        case("dedicated guest's ns for the shared address", guest(3, ns(3, SHARED6), answered(), check=is_na(SHARED_MAC, SHARED6))),
        case("dedicated guest's ns for a link-local address", guest(3, ns(3, FOUR_LL), answered(), check=is_na(FOUR_MAC, FOUR_LL))),
        case("duplicate detection of its own", guest(3, ns(3, THREE6, src="::"), OUT), guest(3, ns(3, THREE_LL, src="::"), OUT), guest(1, ns(1, SHARED6, src="::"), OUT)),
        case("duplicate detection of another's", guest(3, ns(3, FOUR6, src="::"), drop("spoofed_arp")), guest(1, ns(1, PEER6, src="::"), drop("spoofed_arp"))),
        case("ns with another's mac", guest(3, ns(3, PEER6, lladdr=PEER_MAC), drop("spoofed_arp"))),
        case("na of its own", guest(3, na(3, THREE6), targets(1, 2, 4, to_wire=True)), guest(1, na(1, SHARED6), OUT)),
        case("na to a local guest", guest(3, na(3, THREE6, dst=FOUR6, mac=FOUR_MAC), to(4))),
        case("na of another's", guest(3, na(3, FOUR6), drop("spoofed_arp")), guest(1, na(1, ROUTER6), drop("spoofed_arp"))),
        case("na with another's mac", guest(3, na(3, THREE6, lladdr=FOUR_MAC), drop("spoofed_arp"))),
        case("router solicitation", guest(3, rs(3, THREE_MAC), OUT), guest(3, rs(3, PEER_MAC), drop("spoofed_arp"))),
        case("rogue router", guest(3, out(3, group_mac("ff02::1")) / IPv6(src=THREE_LL, dst="ff02::1", hlim=255) / ICMPv6ND_RA(), drop("spoofed_arp"))),
        case("nd through a router", guest(3, out(3) / IPv6(src=THREE6, dst=FAR6, hlim=64) / ICMPv6ND_NS(tgt=FAR6), drop("malformed"))),
    ]


def icmp_of_guests():
    error = lambda inner, dst=PEER: ip(1, dst) / ICMP(type=3, code=3) / inner
    error6 = lambda inner: ip6(1, PEER6) / ICMPv6DestUnreach(code=4) / inner
    ours = IP(src=PEER, dst=SHARED)
    reply = lambda ident, src=FAR: from_peer() / IP(src=src, dst=SHARED) / ICMP(type=0, id=ident)
    quoted = from_peer() / IP(src=ROUTER, dst=SHARED) / ICMP(type=11) / IP(src=SHARED, dst=FAR) / ICMP(id=7)
    big = fragment(from_peer() / IP(src=FAR, dst=SHARED, id=8) / ICMP(type=0, id=7) / (b"x" * 3000), 1480)
    return [
        case("echo replies go to who asked", guest(1, ip(1) / ICMP(id=7), OUT), guest(2, ip(2) / ICMP(id=9), OUT), wire(reply(7), to(1)), wire(reply(9), to(2)),
             wire(reply(8), drop("icmp_unmatched")), wire(reply(7, PEER), drop("icmp_unmatched")), wire(quoted, to(1)),
             wire(reply(7), to(1), at_us=59_000_000), wire(reply(7), drop("icmp_unmatched"), at_us=61_000_000)),
        case("echo6 replies go to who asked", guest(2, ip6(2) / ICMPv6EchoRequest(id=7), OUT), wire(from_peer() / IPv6(src=FAR6, dst=SHARED6) / ICMPv6EchoReply(id=7), to(2)),
             wire(from_peer() / IPv6(src=FAR6, dst=SHARED6) / ICMPv6EchoReply(id=8), drop("icmp_unmatched")),
             wire(from_peer() / IPv6(src=ROUTER6, dst=SHARED6) / ICMPv6PacketTooBig() / IPv6(src=SHARED6, dst=FAR6) / ICMPv6EchoRequest(id=7), to(2))),
        case("one identifier, two guests", guest(1, ip(1) / ICMP(id=7), OUT), guest(2, ip(2) / ICMP(id=7), OUT), wire(reply(7), targets(1, 2))),
        case("big echo reply", guest(1, ip(1) / ICMP(id=7), OUT), *[wire(x, to(1)) for x in big]),
        case("big echo reply, the first last", guest(1, ip(1) / ICMP(id=7), OUT), *[wire(x, verdict(hold=True)) for x in big[1:]], wire(big[0], to(1, released=True), take=len(big) - 1)),
        case("echo reply of a shared guest", guest(1, ip(1) / ICMP(type=0), drop("unsupported_protocol"))),
        case("echo reply of a dedicated guest", guest(3, ip(3) / ICMP(type=0), OUT)),
        case("redirect of a shared guest", guest(1, ip(1) / ICMP(type=5) / ours / UDP(dport=53), drop("unsupported_protocol"))),
        case("error about its port", guest(1, error(ours / UDP(sport=9, dport=53)), OUT), guest(1, error(ours / TCP(dport=80)), OUT)),
        case("error6 about its port", guest(1, error6(IPv6(src=PEER6, dst=SHARED6) / UDP(dport=53)), OUT)),
        case("error about another's port", guest(1, error(ours / UDP(dport=5353)), drop("foreign_port"))),
        case("error6 about another's port", guest(1, error6(IPv6(src=PEER6, dst=SHARED6) / UDP(dport=5353)), drop("foreign_port"))),
        case("error to a third", guest(1, error(ours / UDP(dport=53), FAR), drop("foreign_port"))),
        case("error about what never came here", guest(1, error(IP(src=PEER, dst=THREE) / UDP(dport=53)), drop("foreign_port"))),
        case("error that quotes nothing", guest(1, error(Raw(b"")), drop("foreign_port"))) | {"name": "guest's error that quotes nothing"},
        case("igmp of a shared guest", guest(1, ip(1, "239.1.2.3", group_mac("239.1.2.3"), proto=2) / IGMP(type=0x16, gaddr="239.1.2.3"), drop("unsupported_protocol"))),
    ]


def between_guests():
    return [
        case("shared to dedicated", guest(1, ip(1, THREE, THREE_MAC) / TCP(sport=80), to(3))),
        case("shared to dedicated v6", guest(1, ip6(1, THREE6, THREE_MAC) / UDP(sport=53), to(3))),
        case("dedicated to dedicated", guest(3, ip(3, FOUR, FOUR_MAC) / TCP(), to(4)), guest(3, ip6(3, FOUR_LL, FOUR_MAC, src=THREE_LL) / TCP(), to(4))),
        case("dedicated to shared", guest(3, ip(3, SHARED, SHARED_MAC) / TCP(dport=443), to(2)), guest(3, ip6(3, SHARED6, SHARED_MAC) / UDP(dport=53), to(1))),
        case("dedicated to an unowned port", guest(3, ip(3, SHARED, SHARED_MAC) / TCP(dport=FREE, flags="S"), drop("unowned_port", reply=True),
                                                  check=lambda p: same(p, Ether__dst=THREE_MAC, IP__dst=THREE, TCP__flags="RA"))),
        case("dedicated to a gone owner", guest(3, ip(3, SHARED, SHARED_MAC) / TCP(dport=GONE), drop("guest_gone"))),
        case("dedicated pings the shared address", guest(3, ip(3, SHARED, SHARED_MAC) / ICMP(id=4), answered(), check=lambda p: same(p, ICMP__type=0, ICMP__id=4, IP__dst=THREE))),
        case("shared pings a dedicated guest", guest(1, ip(1, THREE, THREE_MAC) / ICMP(id=4), to(3)), guest(3, ip(3, SHARED, SHARED_MAC) / ICMP(type=0, id=4), to(1))),
        case("shared to the shared address", guest(1, ip(1, SHARED, SHARED_MAC) / TCP(sport=80, dport=443), drop("not_for_us"))),
        case("shared to the shared address by the router", guest(1, ip(1, SHARED) / TCP(sport=80, dport=443), drop("not_for_us"))),
        case("to the shared mac, another's ip", guest(3, ip(3, FAR, SHARED_MAC) / TCP(), drop("not_for_us"))),
        case("to a dedicated mac, another's ip", guest(3, ip(3, FAR, FOUR_MAC) / TCP(), drop("not_for_us")), guest(1, ip6(1, FAR6, FOUR_MAC) / TCP(sport=80), drop("not_for_us"))),
        case("to itself", guest(3, ip(3, THREE, THREE_MAC) / TCP(), drop("not_for_us"))),
        case("fragments to the shared address", *[guest(3, x, to(1)) for x in fragment(ip(3, SHARED, SHARED_MAC, id=4) / UDP(dport=53) / (b"x" * 3000), 1000)]),
        case("early fragment to the shared address", guest(3, fragment(ip(3, SHARED, SHARED_MAC, id=4) / UDP(dport=53) / (b"x" * 3000), 1000)[1], drop("fragment_orphan"))),
        case("guest's fragments", *[guest(1, x, OUT) for x in fragment(ip(1, id=9) / UDP(sport=53) / (b"x" * 3000), 1000)]),
        case("guest's v6 fragments", *[guest(1, x, OUT) for x in fragment6(ip6(1) / IPv6ExtHdrFragment(id=9) / UDP(sport=53) / (b"x" * 3000), 1000)]),
        case("guest's fragments without the first", guest(1, fragment(ip(1, id=9) / UDP(sport=53) / (b"x" * 3000), 1000)[1], drop("fragment_orphan"))),
        case("guest's fragments of a foreign port", *[guest(1, x, drop("fragment_orphan" if i else "foreign_port")) for i, x in enumerate(fragment(ip(1, id=9) / UDP(sport=5353) / (b"x" * 3000), 1000))]),
        case("another guest's first fragment does not help", guest(2, fragment(ip(2, id=9) / UDP(sport=5353) / (b"x" * 3000), 1000)[0], OUT),
             guest(1, fragment(ip(1, id=9) / UDP(sport=53) / (b"x" * 3000), 1000)[1], drop("fragment_orphan"))),
    ]


def groups():
    join = lambda slot, group: guest(slot, ip(slot, group, group_mac(group), proto=2) / IGMP(type=0x16, gaddr=group), OUT)
    wire4 = lambda group: from_peer(group_mac(group)) / IP(src=PEER, dst=group) / UDP(dport=FREE)
    wire6 = lambda group: from_peer(group_mac(group)) / IPv6(src=PEER6, dst=group) / UDP(dport=FREE)
    v3 = lambda slot, rtype, sources=(): guest(slot, ip(slot, "224.0.0.22", group_mac("224.0.0.22"), proto=2) / IGMPv3(type=0x22) / IGMPv3mr(records=[IGMPv3gr(rtype=rtype, maddr="239.5.5.5", srcaddrs=list(sources))]), OUT)
    alert = IPv6ExtHdrHopByHop(options=[RouterAlert()])
    mld = lambda slot, body, dst="ff02::16", src=THREE_LL: guest(slot, out(slot, group_mac(dst)) / IPv6(src=src, dst=dst, hlim=1) / alert / body, OUT)
    v2 = lambda rtype: mld(3, ICMPv6MLReport2(records=[ICMPv6MLDMultAddrRec(rtype=rtype, dst="ff05::7")]))
    none = drop("no_listener")
    cases = [
        case("igmp v2", join(3, "239.1.2.3"), wire(wire4("239.1.2.3"), targets(3)), join(4, "239.1.2.3") | {"expect": targets(3, to_wire=True)}, wire(wire4("239.1.2.3"), targets(3, 4)),
             guest(3, ip(3, "224.0.0.2", group_mac("224.0.0.2"), proto=2) / IGMP(type=0x17, gaddr="239.1.2.3"), OUT), wire(wire4("239.1.2.3"), targets(4)), wire(wire4("239.1.2.4"), none)),
        case("mld v1", mld(3, ICMPv6MLReport(mladdr="ff05::7"), "ff05::7"), wire(wire6("ff05::7"), targets(3)), mld(3, ICMPv6MLDone(mladdr="ff05::7"), "ff02::2"), wire(wire6("ff05::7"), none)),
        case("mld v2", v2(4), wire(wire6("ff05::7"), targets(3)), v2(3), wire(wire6("ff05::7"), none), v2(2), wire(wire6("ff05::7"), targets(3)), v2(1), wire(wire6("ff05::7"), none)),
        case("mld without an address", mld(3, ICMPv6MLReport2(records=[ICMPv6MLDMultAddrRec(rtype=4, dst="ff05::7")]), src="::"), wire(wire6("ff05::7"), targets(3))),
        case("igmp v3", v3(3, 4), wire(wire4("239.5.5.5"), targets(3)), v3(3, 6, [FAR]), wire(wire4("239.5.5.5"), targets(3)), v3(3, 3), wire(wire4("239.5.5.5"), none),
             v3(3, 5, [FAR]), wire(wire4("239.5.5.5"), targets(3)), v3(3, 1), wire(wire4("239.5.5.5"), none), v3(3, 2), wire(wire4("239.5.5.5"), targets(3))),
        case("igmp query of a guest", guest(3, ip(3, "224.0.0.1", group_mac("224.0.0.1"), proto=2) / IGMP(type=0x11, gaddr="0.0.0.0"), drop("unsupported_protocol"))),
        case("broadcast of a shared guest", guest(1, ip(1, SUBNET_BROADCAST, BROADCAST) / UDP(sport=53, dport=5353), targets(2, 3, 4, to_wire=True))),
        case("broadcast to its own port", guest(1, ip(1, SUBNET_BROADCAST, BROADCAST) / UDP(sport=53, dport=53), targets(3, 4, to_wire=True))),
        case("broadcast of a dedicated guest", guest(3, ip(3, "255.255.255.255", BROADCAST) / UDP(dport=53), targets(1, 4, to_wire=True))),
        case("multicast of a dedicated guest", guest(3, ip(3, "224.0.0.251", group_mac("224.0.0.251")) / UDP(dport=5353), targets(2, to_wire=True))),
        case("multicast nobody here listens to", guest(3, ip(3, "239.9.9.9", group_mac("239.9.9.9")) / UDP(dport=FREE), OUT)),
        case("unicast ip in a group's mac", guest(3, ip(3, FAR, BROADCAST) / UDP(), drop("not_for_us"))),
    ]
    return cases


def offloads():
    cases = []
    data = Raw(b"x" * 5000)
    for family, base, l4at, flag, other in (("v4", ip(1), 34, GSO4, GSO6), ("v6", ip6(1), 54, GSO6, GSO4)):
        tcp, udp = base / TCP(sport=80), base / UDP(sport=53)
        good = {"flags": PARTIAL, "csum_start": l4at, "csum_offset": 16}
        gso = {**good, "flags": PARTIAL | flag, "gso_size": 1400, "header_length": l4at + 20}
        one = lambda name, packet, expect, **offload: case(f"{family} offload: {name}", guest(1, packet, expect, offload=offload))
        bad = drop("bad_offload")
        cases += [
            one("tcp checksum", tcp / data, OUT, **good), one("udp checksum", udp / data, OUT, **{**good, "csum_offset": 6}),
            one("verified", tcp, OUT, flags=CSUM_OK), one("tso", tcp / data, OUT, **gso), one("tso of one segment", tcp / Raw(b"x"), OUT, **gso),
            one("tcp offset for udp", udp, bad, **good), one("start too early", tcp, bad, **{**good, "csum_start": l4at - 2}),
            one("start beyond the frame", tcp, bad, **{**good, "csum_start": 65535}), one("offset beyond the frame", tcp, bad, **{**good, "csum_offset": 65535}),
            one("pad", tcp, bad, flags=PAD), one("unknown flag", tcp, bad, flags=0x40), one("tso without checksum", tcp, bad, **{**gso, "flags": flag}),
            one("tso of the other family", tcp, bad, **{**gso, "flags": PARTIAL | other}), one("tso of both families", tcp, bad, **{**gso, "flags": PARTIAL | GSO4 | GSO6}),
            one("tso of udp", udp, bad, **{**gso, "csum_offset": 6}), one("tso size 0", tcp, bad, **{**gso, "gso_size": 0}), one("tso size 15", tcp, bad, **{**gso, "gso_size": 15}),
            one("tso size above the mtu", tcp, bad, **{**gso, "gso_size": 1500 - l4at + 14 - 20 + 1}), one("tso size of the mtu", tcp, OUT, **{**gso, "gso_size": 1500 - l4at + 14 - 20}),
            one("tso header too short", tcp, bad, **{**gso, "header_length": l4at}), one("tso header too long", tcp, bad, **{**gso, "header_length": l4at + 24}),
            one("tso with options", base / TCP(sport=80, options=[("Timestamp", (1, 2)), ("NOP", None), ("NOP", None)]) / data, OUT, **{**gso, "header_length": l4at + 32}),
            one("tso from a foreign port", base / TCP(sport=443), drop("foreign_port"), **gso),
        ]
    cut = fragment(ip(1, id=5) / UDP(sport=53) / data, 1000)
    cases.append(case("checksum of a fragment", guest(1, cut[0], drop("bad_offload"), offload={"flags": PARTIAL, "csum_start": 34, "csum_offset": 6})))
    cases.append(case("checksum of icmp", guest(1, ip(1) / ICMP(), drop("bad_offload"), offload={"flags": PARTIAL, "csum_start": 34, "csum_offset": 2})))
    return cases


def guest_cases():
    return own_ports() + spoofing() + guest_arp() + guest_nd() + icmp_of_guests() + between_guests() + groups() + offloads()
