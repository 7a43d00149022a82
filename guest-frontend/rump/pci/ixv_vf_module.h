/* SPDX-License-Identifier: BSD-2-Clause */
/* A VF that a driver of the rump kernel's drives, for the component that has the kernel's interface. */
#ifndef LIBRETTOS_RUMP_IXV_VF_MODULE_H
#define LIBRETTOS_RUMP_IXV_VF_MODULE_H

#ifdef __cplusplus
extern "C" {
#endif

struct lvif_vf;

#pragma GCC visibility push(default)

/* NULL: the kernel's driver does not have the function at this address. One at a time. */
struct lvif_vf* librettos_ixv_vf_create(char const* pci_address);
void librettos_ixv_vf_destroy(struct lvif_vf* vf);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
