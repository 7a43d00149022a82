# SPDX-License-Identifier: BSD-2-Clause
# For the build of NetBSD's librumpdev_pci: its user half is a library of its own, librettos-rump-pci.
CPPFLAGS+=	-I${RUMPCOMP_MAKEFILEINC_rumpdev_pci:H}
