# SPDX-License-Identifier: BSD-2-Clause
"""NICs of the emulated machine: each an igb, on a hub with an e1000e that is its wire, or with a TAP outside as its cable."""


def igb(number, backend):
    """QEMU's options for igb 1, 2, .. on a network backend."""
    return ("-netdev", backend, "-device", f"pcie-root-port,id=root-port{number},chassis={number},slot={number}",
            "-device", f"igb,bus=root-port{number},netdev=nic{number},mac=52:54:00:77:00:{number}0")


def igb_with_peer(number):
    """And for an e1000e beside it."""
    return (*igb(number, f"hubport,id=nic{number},hubid={number}"), "-netdev", f"hubport,id=peer{number},hubid={number}",
            "-device", f"e1000e,netdev=peer{number},mac=52:54:00:77:00:0{number},addr=0x1{number - 1}")


def igb_outside(number):
    """With the cable wires.py calls wire1, wire2, .."""
    return igb(number, f"tap,id=nic{number},ifname=wire{number},script=no,downscript=no")


def nic(number):
    """PCI address of the igb."""
    return f"0000:0{number}:00.0"


def interface_of(address):
    """For a shell in dom0: the interface of the kernel's driver."""
    return f"$(ls /sys/bus/pci/devices/{address}/net)"


def peer_interface(number):
    return interface_of(f"0000:00:1{number - 1}.0")


def bind_to_uio(address):
    """Commands for dom0: the NIC is DPDK's."""
    device = f"/sys/bus/pci/devices/{address}"
    return f"""
modprobe uio_pci_generic
echo uio_pci_generic >{device}/driver_override
echo {address} >{device}/driver/unbind
echo {address} >/sys/bus/pci/drivers_probe
[ $(basename $(readlink {device}/driver)) = uio_pci_generic ]
"""
