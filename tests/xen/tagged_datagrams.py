#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""UDP datagrams, as frames on an interface, with a VLAN tag that the kernel need not know: tagged_datagrams.py INTERFACE FROM TO MAC PORT TAG COUNT

FROM and TO are IPv4 addresses, MAC is TO's; TAG 0: none.
"""

import socket
import struct
import sys

DATA = bytes(18)


def ip_header(source, target):
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + 8 + len(DATA), 0, 0, 64, socket.IPPROTO_UDP, 0, *map(socket.inet_aton, (source, target)))
    total = sum(struct.unpack("!10H", header))
    total = (total & 0xffff) + (total >> 16)
    return header[:10] + struct.pack("!H", ~(total + (total >> 16)) & 0xffff) + header[12:]


def main():
    interface, source, target, mac, port, tag, count = sys.argv[1:]
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
        wire.bind((interface, 0))
        frame = bytes.fromhex(mac.replace(":", "")) + wire.getsockname()[4]
        if int(tag):
            frame += struct.pack("!HH", 0x8100, int(tag))
        frame += struct.pack("!H", 0x0800) + ip_header(source, target)
        frame += struct.pack("!HHHH", int(port), int(port), 8 + len(DATA), 0) + DATA  # without a checksum
        for _ in range(int(count)):
            wire.send(frame)


if __name__ == "__main__":
    main()
