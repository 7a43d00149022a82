# SPDX-License-Identifier: BSD-2-Clause
"""NICs of the emulated machine: each an igb, on a hub with an e1000e that is its wire."""


def igb_with_peer(number):
    """QEMU's options for pair 1, 2, .."""
    return ("-netdev", f"hubport,id=nic{number},hubid={number}", "-netdev", f"hubport,id=peer{number},hubid={number}",
            "-device", f"pcie-root-port,id=root-port{number},chassis={number},slot={number}",
            "-device", f"igb,bus=root-port{number},netdev=nic{number},mac=52:54:00:77:00:{number}0",
            "-device", f"e1000e,netdev=peer{number},mac=52:54:00:77:00:0{number},addr=0x1{number - 1}")


def nic(number):
    """PCI address of the igb."""
    return f"0000:0{number}:00.0"


def interface_of(address):
    """For a shell in dom0: the interface of the kernel's driver."""
    return f"$(ls /sys/bus/pci/devices/{address}/net)"


def peer_interface(number):
    return interface_of(f"0000:00:1{number - 1}.0")
