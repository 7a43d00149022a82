/* SPDX-License-Identifier: BSD-2-Clause */
/* What the user half of the PCI bus can: memory for DMA is freed. No I/O space. */
#define RUMPCOMP_USERFEATURE_PCI_DMAFREE
