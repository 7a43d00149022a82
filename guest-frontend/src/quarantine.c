/* SPDX-License-Identifier: BSD-2-Clause */
/* Keeps pages that the server may still have mapped, until they can be unshared. */
#include "quarantine.h"

static bool let_go(struct lvif_environment const *environment, struct lvif_region const *region)
{
	if (region->shared && environment->unshare(environment->context, region->reference) < 0)
		return false;
	environment->pages_free(environment->context, region->pages, region->bytes);
	return true;
}

void lvif_quarantine_take(struct lvif_quarantine *quarantine, struct lvif_environment const *environment,
                          struct lvif_region const *region)
{
	if (!let_go(environment, region) && quarantine->count < LVIF_QUARANTINE_REGIONS)
		quarantine->region[quarantine->count++] = *region;
}

void lvif_quarantine_retry(struct lvif_quarantine *quarantine, struct lvif_environment const *environment)
{
	uint16_t kept = 0;

	for (uint16_t i = 0; i < quarantine->count; i++) {
		if (!let_go(environment, &quarantine->region[i]))
			quarantine->region[kept++] = quarantine->region[i];
	}
	quarantine->count = kept;
}
