/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the driver expects of its bus, and a rump kernel's PCI bus has not.
 *
 * MSI-X: that bus knows line interrupts alone. A vector's handle is what pci_intr_establish() hands to the user half:
 * the number under which rumpcomp_pci_irq_map() was told of the vector.
 *
 * Registers of the PF: the driver of 2016 touches some (FCTRL, RXCSUM, HLREG0, TFCS, MHADD), which are far behind the
 * end of a VF's memory. They read as 0 here, and what is written to them is nothing.
 */
#undef bus_space_read_4 /* the Makefile has the driver call librettos_ixv_read_4() instead */
#undef bus_space_write_4
#include <sys/cdefs.h>
#include <sys/param.h>

#include <sys/kmem.h>

#include <dev/pci/pcivar.h>

#include "ixgbe_api.h"

#include "hypercalls.h"

/* Of the PCI bus' user half; its header is not installed. */
int rumpcomp_pci_irq_map(unsigned bus, unsigned device, unsigned function, int vector, unsigned handle);

#define VF_MEMORY_BYTES 0x4000u

uint32_t librettos_ixv_read_4(bus_space_tag_t tag, bus_space_handle_t handle, bus_size_t offset);
void librettos_ixv_write_4(bus_space_tag_t tag, bus_space_handle_t handle, bus_size_t offset, uint32_t value);

uint32_t librettos_ixv_read_4(bus_space_tag_t tag, bus_space_handle_t handle, bus_size_t offset) {
    return offset < VF_MEMORY_BYTES ? bus_space_read_4(tag, handle, offset) : 0;
}

void librettos_ixv_write_4(bus_space_tag_t tag, bus_space_handle_t handle, bus_size_t offset, uint32_t value) {
    if (offset < VF_MEMORY_BYTES) {
        bus_space_write_4(tag, handle, offset, value);
    }
}

/* Apart from those that pci_intr_map() counts up from 1. */
#define FIRST_HANDLE 0x10000u

int pci_msix_alloc_exact(const struct pci_attach_args* pa, pci_intr_handle_t** handles, int count) {
    static unsigned next = FIRST_HANDLE;
    pci_intr_handle_t* all;
    int error, i;

    if (count <= 0 || (unsigned)count > rumpcomp_librettos_msix_vectors(pa->pa_bus, pa->pa_device, pa->pa_function)) {
        return EINVAL;
    }
    all = kmem_alloc(sizeof(*all) * count, KM_SLEEP);
    for (i = 0; i < count; ++i) {
        all[i] = next++;
        error = rumpcomp_pci_irq_map(pa->pa_bus, pa->pa_device, pa->pa_function, i, (unsigned)all[i]);
        if (error != 0) {
            kmem_free(all, sizeof(*all) * count);
            return error;
        }
    }
    *handles = all;
    return 0;
}

void pci_intr_release(pci_chipset_tag_t pc, pci_intr_handle_t* handles, int count) {
    kmem_free(handles, sizeof(*handles) * count);
}

/* The shared code's, in whose place ixgbe.c, the driver for PFs, would define them. */
u16 ixgbe_read_pci_cfg(struct ixgbe_hw* hw, u32 reg) {
    const struct ixgbe_osdep* os = hw->back;
    const pcireg_t word = pci_conf_read(os->pc, os->tag, reg & ~3u);

    return (u16)(word >> (reg & 2u) * 8);
}

void ixgbe_write_pci_cfg(struct ixgbe_hw* hw, u32 reg, u16 value) {
    const struct ixgbe_osdep* os = hw->back;
    unsigned const shift = (reg & 2u) * 8;
    const pcireg_t word = pci_conf_read(os->pc, os->tag, reg & ~3u);

    pci_conf_write(os->pc, os->tag, reg & ~3u, (word & ~(0xffffu << shift)) | (pcireg_t)value << shift);
}
