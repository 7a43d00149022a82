/* SPDX-License-Identifier: BSD-2-Clause */
/* Which offloads a record may carry: by the agreed features, and by the frame's length. */
#include "ring.h"

#define CHECKSUM_BYTES 2u

bool lvif_offload_fits(struct lvif_offload const *offload, uint32_t length)
{
	uint16_t const gso = offload->flags & (LVIF_GSO_TCP4 | LVIF_GSO_TCP6);

	if (offload->flags & LVIF_CSUM_PARTIAL) {
		uint32_t const field = (uint32_t)offload->csum_start + offload->csum_offset;
		if (offload->csum_start < LVIF_MIN_FRAME_BYTES || field + CHECKSUM_BYTES > length)
			return false;
	}
	if (gso == 0)
		return true;
	return gso != (LVIF_GSO_TCP4 | LVIF_GSO_TCP6) && (offload->flags & LVIF_CSUM_PARTIAL) != 0 &&
	       offload->gso_size > 0 && offload->header_length > offload->csum_start &&
	       offload->header_length <= length;
}

uint16_t lvif_tx_flags(uint32_t features)
{
	uint16_t flags = 0;

	if (features & LVIF_F_TX_CSUM)
		flags |= LVIF_CSUM_PARTIAL;
	if (features & LVIF_F_TX_TSO4)
		flags |= LVIF_GSO_TCP4;
	if (features & LVIF_F_TX_TSO6)
		flags |= LVIF_GSO_TCP6;
	return flags;
}

uint16_t lvif_rx_flags(uint32_t features)
{
	uint16_t flags = 0;

	if (features & LVIF_F_RX_CSUM)
		flags |= LVIF_CSUM_PARTIAL | LVIF_CSUM_OK;
	if (features & LVIF_F_RX_TSO4)
		flags |= LVIF_GSO_TCP4;
	if (features & LVIF_F_RX_TSO6)
		flags |= LVIF_GSO_TCP6;
	return flags;
}
