# SPDX-License-Identifier: BSD-2-Clause
"""A guest with lwIP and a VF under load: numbered datagrams each way, and TCP connections whose bytes come back and are compared."""

import os
import signal
import threading

import lab as laboratory
import switching
from applications import ECHO_PORT
from lab import DEDICATED4, WIRE4
from nic_lab import last_json
from switching import FROM_GUEST, TO_GUEST


class Flow(threading.Thread):
    """A connection to the guest's echo server: blocks one after the other, each compared when it is back."""

    def __init__(self, lab, bytes_per_s):
        super().__init__(daemon=True)
        self._stream = lab.connect(DEDICATED4[0], ECHO_PORT, timeout_s=3 * laboratory.PATIENCE_S)
        self._pause_s, self.bytes, self.error, self.over = 8192 / bytes_per_s, 0, None, threading.Event()
        self.start()

    def run(self):
        try:
            with self._stream as stream:
                while not self.over.wait(self._pause_s):
                    data, received = os.urandom(8192), b""
                    stream.sendall(data)
                    while len(received) < len(data):
                        block = stream.recv(65536)
                        if not block:
                            raise laboratory.Failure("the connection ended")
                        received += block
                    if received != data:
                        raise laboratory.Failure("bytes came back changed")
                    self.bytes += len(data)
        except (OSError, laboratory.Failure) as error:
            self.error = error


class Outbound(switching.Stream):
    """From lwip_guest to the wire."""

    def __init__(self, lab, name):
        self._start_receiver(lab, name, lab.wire, FROM_GUEST)

    def stop(self, sent):
        self.take_account(sent, self.end_receiver())


class LwipLoad:
    """The guest is connected, and the load under way, as many datagrams each way unless it is said otherwise; flows are to be begun."""

    _count = 0

    def __init__(self, lab, name, per_second, inbound_per_second=None):
        LwipLoad._count += 1
        label = f"{name}-{LwipLoad._count}"
        self._lab, self._flows, self.tcp_timeouts = lab, [], 0
        self.outbound = Outbound(lab, f"{label}-outbound")
        self._times = lab.directory / f"{label}-inbound.times"
        self._sender = None
        self.guest = lab.lwip_guest(name, 0, label, "load", ECHO_PORT, TO_GUEST, self._times, WIRE4, FROM_GUEST, per_second)
        try:
            laboratory.wait_until(lambda: "ready" in self.guest.log, "the guest", explain=self.guest.tail)
            lab.wait_for_tcp(DEDICATED4[0], ECHO_PORT)
        except BaseException:
            self.kill()
            raise
        self._sender = switching.Stream.sender(lab, f"{label}-inbound", lab.wire, DEDICATED4[0], TO_GUEST,
                                               inbound_per_second or per_second)

    def pids(self):
        return [process.pid for process in (self.guest, self._sender, self.outbound.receiver)]

    def begin_flows(self, count, bytes_per_s=100_000):
        self._flows = [Flow(self._lab, bytes_per_s) for _ in range(count)]
        laboratory.wait_until(lambda: all(flow.bytes or flow.error for flow in self._flows), "bytes of the connections")

    @property
    def flow_bytes(self):
        return sum(flow.bytes for flow in self._flows)

    def stop(self):
        """The two streams with their accounts; Failure if a flow broke."""
        for flow in self._flows:
            flow.over.set()
        for flow in self._flows:
            flow.join()
            if flow.error:
                raise laboratory.Failure(str(flow.error))
        self._sender.signal(signal.SIGTERM)
        self._sender.wait()
        self.guest.signal(signal.SIGTERM)
        if self.guest.wait() != 0:
            raise laboratory.Failure(self.guest.tail())
        account = last_json(self.guest)
        self.tcp_timeouts = account["tcp_timeouts"]
        inbound = switching.Stream.of("inbound", self._times)
        inbound.take_account(last_json(self._sender)["sent"], account)
        self.outbound.stop(account["sent"])
        return [inbound, self.outbound]

    def kill(self):
        for process in (self._sender, self.guest, self.outbound.receiver):
            if process is not None:
                process.stop()
