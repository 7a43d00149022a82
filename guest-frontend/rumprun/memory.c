/* SPDX-License-Identifier: BSD-2-Clause */
/* The environment's pages and grants. */
#include "environment.h"

#include <string.h>

#include <librettos/grant_directory.h>

struct lvif_minios_region {
	struct lvif_minios_region *next;
	uint8_t *pages; /* the caller's */
	uint32_t data_pages;
	uint32_t directories;
	struct lvif_grant_directory *directory; /* pages of ours, one after the other */
	uint32_t granted; /* entries of `grant` that are in use: all, or what could not be ended yet */
	uint32_t grant[]; /* of the directory pages, then of the data pages */
};

static int order_of(size_t bytes)
{
	size_t const pages = (bytes + LVIF_PAGE_BYTES - 1) / LVIF_PAGE_BYTES;
	int order = 0;

	while (((size_t)1 << order) < pages)
		order++;
	return order;
}

/* The platform has powers of two only; what a ring does not need of one goes back at once. */
static void free_rest(uint8_t *pages, size_t used, int order)
{
	size_t const end = (size_t)LVIF_PAGE_BYTES << order;

	while (used < end) {
		int piece = 0;

		while ((used & ((size_t)LVIF_PAGE_BYTES << piece)) == 0)
			piece++;
		bmk_pgfree(pages + used, piece);
		used += (size_t)LVIF_PAGE_BYTES << piece;
	}
}

static size_t round_up(size_t bytes)
{
	return (bytes + LVIF_PAGE_BYTES - 1) & ~(size_t)(LVIF_PAGE_BYTES - 1);
}

void *lvif_minios_pages_allocate(void *context, size_t bytes)
{
	int const order = order_of(bytes);
	uint8_t *pages;

	(void)context;
	if (bytes == 0 || bytes > sizeof(struct lvif_ring_header) + LVIF_RING_MAX_CAPACITY)
		return NULL;
	pages = bmk_pgalloc(order);
	if (pages == NULL)
		return NULL;
	free_rest(pages, round_up(bytes), order);
	memset(pages, 0, round_up(bytes));
	return pages;
}

void lvif_minios_pages_free(void *context, void *pages, size_t bytes)
{
	size_t left = round_up(bytes);
	size_t at = 0;

	(void)context;
	while (left > 0) {
		int piece = 0;

		while (((size_t)LVIF_PAGE_BYTES << (piece + 1)) <= left)
			piece++;
		bmk_pgfree((uint8_t *)pages + at, piece);
		at += (size_t)LVIF_PAGE_BYTES << piece;
		left -= (size_t)LVIF_PAGE_BYTES << piece;
	}
}

static void grant_page(struct lvif_minios *minios, struct lvif_minios_region *region, uint16_t domain, void *page,
                       bool readonly)
{
	region->grant[region->granted++] = gnttab_grant_access(domain, virt_to_mfn((unsigned long)page), readonly);
	minios->grants++;
}

static void write_directories(struct lvif_minios_region *region)
{
	for (uint32_t i = 0; i < region->directories; i++)
		lvif_directory_write(&region->directory[i], region->data_pages, i, region->grant + region->directories,
		                     region->grant);
}

static struct lvif_minios_region *new_region(struct lvif_minios *minios, void *pages, uint32_t data_pages)
{
	uint32_t const directories = lvif_directory_pages(data_pages);
	uint32_t const grants = data_pages + directories;
	struct lvif_minios_region *region;

	if (grants > LVIF_MINIOS_GRANTS - minios->grants) {
		bmk_printf("lvif: no grants for %u pages, %u of %u are in use: smaller rings are needed\n", data_pages,
		           minios->grants, LVIF_MINIOS_GRANTS);
		return NULL;
	}
	region = bmk_memcalloc(1, sizeof(*region) + grants * sizeof(uint32_t), BMK_MEMWHO_WIREDBMK);
	if (region == NULL)
		return NULL;
	region->directory = lvif_minios_pages_allocate(minios, (size_t)directories * LVIF_PAGE_BYTES);
	if (region->directory == NULL) {
		bmk_memfree(region, BMK_MEMWHO_WIREDBMK);
		return NULL;
	}
	region->pages = pages;
	region->data_pages = data_pages;
	region->directories = directories;
	return region;
}

int lvif_minios_share(void *context, void *pages, size_t bytes, uint16_t domain, uint32_t *region_name)
{
	struct lvif_minios *const minios = context;
	uint32_t const data_pages = (uint32_t)(round_up(bytes) / LVIF_PAGE_BYTES);
	struct lvif_minios_region *const region = new_region(minios, pages, data_pages);

	if (region == NULL)
		return LVIF_ENOMEM;
	for (uint32_t i = 0; i < region->directories; i++)
		grant_page(minios, region, domain, &region->directory[i], true);
	for (uint32_t i = 0; i < data_pages; i++)
		grant_page(minios, region, domain, region->pages + (size_t)i * LVIF_PAGE_BYTES, false);
	write_directories(region);
	region->next = minios->regions;
	minios->regions = region;
	*region_name = region->grant[0];
	return 0;
}

/* The grant that names the region is ended last: until then no other region can get that name. */
static int end_grants(struct lvif_minios *minios, struct lvif_minios_region *region)
{
	while (region->granted > 0) {
		if (gnttab_end_access(region->grant[region->granted - 1]) == 0)
			return LVIF_EBUSY;
		region->granted--;
		minios->grants--;
	}
	return 0;
}

int lvif_minios_unshare(void *context, uint32_t region_name)
{
	struct lvif_minios *const minios = context;

	for (struct lvif_minios_region **link = &minios->regions; *link != NULL; link = &(*link)->next) {
		struct lvif_minios_region *const region = *link;

		if (region->grant[0] != region_name)
			continue;
		if (end_grants(minios, region) != 0)
			return LVIF_EBUSY;
		*link = region->next;
		lvif_minios_pages_free(minios, region->directory, (size_t)region->directories * LVIF_PAGE_BYTES);
		bmk_memfree(region, BMK_MEMWHO_WIREDBMK);
		return 0;
	}
	return LVIF_ENOENT;
}
