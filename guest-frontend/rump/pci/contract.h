/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What NetBSD's PCI bus in a rump kernel (librumpdev_pci) asks of its user half, and the calls for memory that stand
 * before librumpuser's. All are called scheduled, and none blocks for long. Errors are NetBSD's numbers.
 */
#ifndef LIBRETTOS_RUMP_PCI_CONTRACT_H
#define LIBRETTOS_RUMP_PCI_CONTRACT_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

struct rumpcomp_pci_dmaseg {
    unsigned long bus_address;
    unsigned long bytes;
    unsigned long cookie; /* what rumpcomp_pci_dmalloc() gave */
};

/* Words at multiples of 4. Where no function is, ones are read. */
int rumpcomp_pci_confread(unsigned bus, unsigned device, unsigned function, int offset, unsigned* value);
int rumpcomp_pci_confwrite(unsigned bus, unsigned device, unsigned function, int offset, unsigned value);
/* NULL: no memory there. */
void* rumpcomp_pci_map(unsigned long bus_address, unsigned long bytes);

/* Gives an MSI-X vector a handle, and the handle a handler: called scheduled, in a thread of its own. What establish
 * returns is not NULL unless it failed. */
int rumpcomp_pci_irq_map(unsigned bus, unsigned device, unsigned function, int vector, unsigned handle);
void* rumpcomp_pci_irq_establish(unsigned handle, int (*handler)(void*), void* argument);

int rumpcomp_pci_dmalloc(size_t bytes, size_t alignment, unsigned long* bus_address, unsigned long* cookie);
void rumpcomp_pci_dmafree(unsigned long cookie, size_t bytes);
int rumpcomp_pci_dmamem_map(struct rumpcomp_pci_dmaseg* segments, size_t count, size_t bytes, void** place);
/* Of any memory of the kernel's. */
unsigned long rumpcomp_pci_virt_to_mach(void* memory);

int rumpuser_malloc(size_t bytes, int alignment, void** memory);
void rumpuser_free(void* memory, size_t bytes);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
