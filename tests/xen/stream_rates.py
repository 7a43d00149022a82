#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""How fast a service of rumprun/services.c is, one number: stream_rates.py ADDRESS PORT to|from|requests AMOUNT

to, from: Mbit/s of AMOUNT bytes over one connection, from the first to the last byte at the receiver. requests: milliseconds of an echo of
one byte, the median of AMOUNT.
"""

import socket
import statistics
import sys
import time

BLOCK = 65536
PATIENCE_S = 120


def to_it(stream, amount):
    """It has all when it closes its end after ours."""
    began = time.monotonic()
    for _ in range(0, amount, BLOCK):
        stream.sendall(bytes(BLOCK))
    stream.shutdown(socket.SHUT_WR)
    while stream.recv(BLOCK):
        pass
    return -(-amount // BLOCK) * BLOCK * 8 / (time.monotonic() - began) / 1e6


def from_it(stream, amount):
    received = len(stream.recv(BLOCK))
    began, first = time.monotonic(), received
    while received < amount and (block := stream.recv(BLOCK)):
        received += len(block)
    if received < amount:
        sys.exit("the service has ended the connection")
    return (received - first) * 8 / (time.monotonic() - began) / 1e6


def requests(stream, amount):
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    took_ms = []
    for number in range(amount):
        began = time.monotonic()
        stream.sendall(bytes([number % 256]))
        if stream.recv(1) != bytes([number % 256]):
            sys.exit("another byte came back")
        took_ms.append(1000 * (time.monotonic() - began))
    return statistics.median(took_ms)


def main():
    address, port, what, amount = sys.argv[1:]
    measure, offset = {"requests": (requests, 0), "to": (to_it, 1), "from": (from_it, 2)}[what]
    with socket.create_connection((address, int(port) + offset), PATIENCE_S) as stream:
        print(f"{measure(stream, int(amount)):.3f}")


if __name__ == "__main__":
    main()
