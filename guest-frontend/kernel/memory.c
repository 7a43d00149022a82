/* SPDX-License-Identifier: BSD-2-Clause */
/* The environment's pages and grants. */
#include "domain.h"

#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>
#include <xen/grant_table.h>
#include <xen/page.h>
#include <xen/xenbus.h>

#include <librettos/grant_directory.h>

LVIF_STATIC_ASSERT(PAGE_SIZE == LVIF_PAGE_BYTES, "a page of Linux is a page of Xen");

struct lvif_domain_region {
	struct list_head list;
	uint8_t *pages; /* the caller's */
	uint32_t data_pages;
	uint32_t directories;
	struct lvif_grant_directory *directory; /* pages of ours, one after the other */
	uint32_t granted;                       /* entries of `grant` in use: all, or what could not be ended yet */
	uint32_t name;
	grant_ref_t grant[]; /* of the directory pages, then of the data pages */
};

void *lvif_domain_pages_allocate(void *context, size_t bytes)
{
	(void)context;
	if (bytes == 0 || bytes > sizeof(struct lvif_ring_header) + LVIF_RING_MAX_CAPACITY)
		return NULL;
	return vzalloc(PAGE_ALIGN(bytes));
}

/* A page that the hypervisor still counts as granted has a reference of the grant table's own (abandon). */
void lvif_domain_pages_free(void *context, void *pages, size_t bytes)
{
	(void)context;
	(void)bytes;
	vfree(pages);
}

static uint8_t *page_of(struct lvif_domain_region const *region, uint32_t grant)
{
	uint8_t *const directories = (uint8_t *)region->directory;

	return grant < region->directories ? directories + (size_t)grant * LVIF_PAGE_BYTES
	                                   : region->pages + (size_t)(grant - region->directories) * LVIF_PAGE_BYTES;
}

static void write_directories(struct lvif_domain_region *region)
{
	for (uint32_t i = 0; i < region->directories; i++)
		lvif_directory_write(&region->directory[i], region->data_pages, i, region->grant + region->directories,
		                     region->grant);
}

static void free_region(struct lvif_domain_region *region)
{
	vfree(region->directory);
	kvfree(region);
}

static struct lvif_domain_region *new_region(void *pages, uint32_t data_pages)
{
	uint32_t const directories = lvif_directory_pages(data_pages);
	struct lvif_domain_region *region;

	region = kvzalloc(struct_size(region, grant, directories + data_pages), GFP_KERNEL);
	if (region == NULL)
		return NULL;
	region->pages = pages;
	region->data_pages = data_pages;
	region->directories = directories;
	region->directory = vzalloc((size_t)directories * LVIF_PAGE_BYTES);
	if (region->directory != NULL)
		return region;
	kvfree(region);
	return NULL;
}

int lvif_domain_share(void *context, void *pages, size_t bytes, uint16_t domid, uint32_t *name)
{
	struct lvif_domain *const domain = context;
	uint32_t const data_pages = (uint32_t)(PAGE_ALIGN(bytes) / LVIF_PAGE_BYTES);
	struct lvif_domain_region *const region = new_region(pages, data_pages);
	uint32_t grants;
	grant_ref_t head;

	if (region == NULL)
		return -ENOMEM;
	grants = region->directories + data_pages;
	if (gnttab_alloc_grant_references((u16)grants, &head) < 0) {
		dev_err(&domain->xenbus->dev,
		        "no grants for %u pages: the domain's grant table is full (max_grant_frames in xl.cfg)\n",
		        grants);
		free_region(region);
		return -ENOSPC;
	}
	while (region->granted < grants) {
		grant_ref_t const grant = (grant_ref_t)gnttab_claim_grant_reference(&head);

		gnttab_grant_foreign_access_ref(grant, domid,
		                                xen_page_to_gfn(vmalloc_to_page(page_of(region, region->granted))),
		                                region->granted < region->directories);
		region->grant[region->granted++] = grant;
	}
	gnttab_free_grant_references(head);
	write_directories(region);
	region->name = region->grant[0];
	list_add(&region->list, &domain->regions);
	*name = region->name;
	return 0;
}

/* The grant that names the region is ended last: until then no other region can get that name. */
int lvif_domain_unshare(void *context, uint32_t name)
{
	struct lvif_domain *const domain = context;
	struct lvif_domain_region *region;

	list_for_each_entry(region, &domain->regions, list)
	{
		if (region->name != name)
			continue;
		while (region->granted > 0) {
			if (!gnttab_try_end_foreign_access(region->grant[region->granted - 1]))
				return LVIF_EBUSY;
			region->granted--;
		}
		list_del(&region->list);
		free_region(region);
		return 0;
	}
	return LVIF_ENOENT;
}

/* What the server has mapped to the very end: the grant table keeps these pages until it lets go. */
void lvif_domain_abandon_regions(struct lvif_domain *domain)
{
	struct lvif_domain_region *region, *next;

	list_for_each_entry_safe(region, next, &domain->regions, list)
	{
		while (region->granted > 0)
			gnttab_end_foreign_access(region->grant[--region->granted], NULL);
		list_del(&region->list);
		vfree(region->pages);
		free_region(region);
	}
}
