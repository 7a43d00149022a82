# SPDX-License-Identifier: BSD-2-Clause
"""UDP and TCP echo on one port, IPv4 and IPv6, in one thread: echo.py PORT."""

import selectors
import socket
import sys


def main():
    port = int(sys.argv[1])
    selector = selectors.DefaultSelector()
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        listener = socket.socket(socket.AF_INET6, kind)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind(("::", port))
        if kind == socket.SOCK_STREAM:
            listener.listen(16)
        selector.register(listener, selectors.EVENT_READ, data=kind)
    while True:
        for key, _ in selector.select():
            answer(selector, key.fileobj, key.data)


def answer(selector, ready, kind):
    """kind: of a socket that was bound; None for an accepted connection."""
    if kind == socket.SOCK_DGRAM:
        data, peer = ready.recvfrom(65536)
        ready.sendto(data, peer)
    elif kind == socket.SOCK_STREAM:
        selector.register(ready.accept()[0], selectors.EVENT_READ, data=None)
    else:
        try:
            data = ready.recv(65536)
        except ConnectionError:
            data = b""
        if data:
            ready.sendall(data)
        else:
            selector.unregister(ready)
            ready.close()


main()
