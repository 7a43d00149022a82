# SPDX-License-Identifier: BSD-2-Clause
"""A host on the wire made of scapy's frames and a packet socket: VLAN tags and damaged checksums at will."""

import socket
import struct
import time

from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import ARP, Dot1Q, Ether

ETH_P_ALL, SOL_PACKET, PACKET_AUXDATA = 3, 263, 8
TP_STATUS_VLAN_VALID = 1 << 4


class RawPeer:
    """Owns an IPv4 address that the kernel does not know; answers ARP while it waits for something. tag: its VLAN or None."""

    def __init__(self, laboratory, address="10.9.0.99", mac="02:00:00:00:00:99", tag=None):
        self.address, self.mac, self.tag = address, mac, tag
        self._socket = laboratory.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self._socket.bind(("wire0", ETH_P_ALL))
        self._socket.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        self._socket.setsockopt(SOL_PACKET, 1, struct.pack("IHH8s", 2, 1, 0, b""))  # ADD_MEMBERSHIP: promiscuous
        self.destination = None

    def close(self):
        self._socket.close()

    def ethernet(self, destination="ff:ff:ff:ff:ff:ff"):
        frame = Ether(src=self.mac, dst=destination)
        return frame if self.tag is None else frame / Dot1Q(vlan=self.tag)

    def send(self, frame):
        self._socket.send(bytes(frame))

    def receive(self, wanted, timeout_s=5.0):
        """The first frame for which wanted(frame) is true, or None. Frames have their VLAN tag, as on the wire."""
        end = time.monotonic() + timeout_s
        while (left := end - time.monotonic()) > 0:
            self._socket.settimeout(left)
            try:
                frame = self._receive_one()
            except socket.timeout:
                return None
            self._answer_arp(frame)
            if frame.src != self.mac and self._tag_of(frame) == self.tag and wanted(frame):
                return frame
        return None

    def _receive_one(self):
        """The kernel takes the tag out of the frame and gives it beside; it is put back."""
        data, ancillary, _, _ = self._socket.recvmsg(65536, socket.CMSG_SPACE(20))
        for level, kind, value in ancillary:
            if level == SOL_PACKET and kind == PACKET_AUXDATA and len(value) >= 20:
                status, tci = struct.unpack_from("I", value)[0], struct.unpack_from("H", value, 16)[0]
                if status & TP_STATUS_VLAN_VALID:
                    data = data[:12] + struct.pack("!HH", 0x8100, tci) + data[12:]
        return Ether(data)

    @staticmethod
    def _tag_of(frame):
        return frame[Dot1Q].vlan if Dot1Q in frame else None

    def _answer_arp(self, frame):
        if ARP in frame and frame[ARP].op == 1 and frame[ARP].pdst == self.address and self._tag_of(frame) == self.tag:
            self.send(self.ethernet(frame.src) / ARP(
                op=2, hwsrc=self.mac, psrc=self.address, hwdst=frame[ARP].hwsrc, pdst=frame[ARP].psrc))

    def resolve(self, address, timeout_s=5.0):
        """MAC address by ARP, or None; kept as the destination of ip()."""
        self.send(self.ethernet() / ARP(op=1, hwsrc=self.mac, psrc=self.address, pdst=address))
        reply = self.receive(lambda frame: ARP in frame and frame[ARP].op == 2 and frame[ARP].psrc == address, timeout_s)
        self.destination = reply[ARP].hwsrc if reply is not None else None
        return self.destination

    def ip(self, address):
        return self.ethernet(self.destination) / IP(src=self.address, dst=address)

    def udp_echo(self, address, port, data, checksum=None, timeout_s=5.0):
        """Sends a datagram to an echo server. Returns what came back, or None. checksum: instead of the right one."""
        self.send(self.ip(address) / UDP(sport=4444, dport=port, chksum=checksum) / data)
        reply = self.receive(lambda frame: UDP in frame and frame[UDP].dport == 4444, timeout_s)
        return None if reply is None else bytes(reply[UDP].payload)[:reply[UDP].len - 8]


class RawConnection:
    """A TCP connection of a RawPeer, in order and without losses."""

    def __init__(self, peer, address, port, source_port=4445):
        self._peer, self._address, self._port, self._source_port = peer, address, port, source_port
        self._sequence, self._acknowledge = 1000, 0
        self._send("S")
        answer = peer.receive(self._is_ours)
        if answer is None or answer[TCP].flags != "SA":
            raise ConnectionError(f"no SYN-ACK but {answer.summary() if answer else 'nothing'}")
        self._sequence, self._acknowledge = 1001, answer[TCP].seq + 1
        self._send("A")

    def _is_ours(self, frame):
        return TCP in frame and frame[TCP].dport == self._source_port and frame[TCP].sport == self._port

    def _send(self, flags, data=b"", checksum=None):
        self._peer.send(self._peer.ip(self._address) / TCP(
            sport=self._source_port, dport=self._port, flags=flags, seq=self._sequence, ack=self._acknowledge,
            window=65000, chksum=checksum) / data)

    def send(self, data, checksum=None):
        """A segment; with a `checksum` of one's own it does not count as sent."""
        self._send("PA", data, checksum)
        if checksum is None:
            self._sequence += len(data)

    def receive(self, timeout_s=5.0):
        """The next segment's bytes, or None. What was acknowledged and comes once more, since that took long, is not the next."""
        frame = self._peer.receive(
            lambda frame: self._is_ours(frame) and self._payload(frame) and frame[TCP].seq == self._acknowledge, timeout_s)
        if frame is None:
            return None
        data = self._payload(frame)
        self._acknowledge = (frame[TCP].seq + len(data)) % 2**32
        self._send("A")
        return data

    @staticmethod
    def _payload(frame):
        return bytes(frame[TCP].payload)[:frame[IP].len - frame[IP].ihl * 4 - frame[TCP].dataofs * 4]

    def reset(self):
        self._send("R")
