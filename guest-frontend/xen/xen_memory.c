/* SPDX-License-Identifier: BSD-2-Clause */
/* The Xen environment's pages: ordinary memory until it is shared, then gntalloc's. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <librettos/grant_directory.h>
#include <xen/sys/gntalloc.h> /* wants stdint.h before */

#include "xen_connection.h"

static size_t round_up(size_t bytes)
{
	return (bytes + LVIF_PAGE_BYTES - 1) & ~(size_t)(LVIF_PAGE_BYTES - 1);
}

void *lvif_xen_pages_allocate(struct lvif_xen *xen, size_t bytes)
{
	struct lvif_xen_pages *pages;

	if (bytes == 0 || bytes > sizeof(struct lvif_ring_header) + LVIF_RING_MAX_CAPACITY)
		return NULL;
	pages = calloc(1, sizeof(*pages));
	if (pages == NULL)
		return NULL;
	pages->bytes = round_up(bytes);
	pages->address =
	        xen->calls->map(NULL, pages->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (pages->address == MAP_FAILED) {
		free(pages);
		return NULL;
	}
	pages->next = xen->pages;
	xen->pages = pages;
	return pages->address;
}

static int end_grants(struct lvif_xen *xen, struct lvif_xen_pages *pages)
{
	struct ioctl_gntalloc_dealloc_gref dealloc = {.index = pages->index, .count = pages->grants};

	if (pages->grants == 0)
		return 0;
	if (xen->calls->gntalloc_ioctl(xen->gntalloc, IOCTL_GNTALLOC_DEALLOC_GREF, &dealloc) != 0)
		return -errno;
	pages->grants = 0;
	return 0;
}

static void drop(struct lvif_xen *xen, struct lvif_xen_pages **link)
{
	struct lvif_xen_pages *const pages = *link;

	*link = pages->next;
	(void)end_grants(xen, pages);
	xen->calls->unmap(pages->address, pages->bytes);
	free(pages);
}

void lvif_xen_pages_free(struct lvif_xen *xen, void *address)
{
	for (struct lvif_xen_pages **link = &xen->pages; *link != NULL; link = &(*link)->next) {
		if ((*link)->address == address) {
			drop(xen, link);
			return;
		}
	}
}

void lvif_xen_pages_close(struct lvif_xen *xen)
{
	while (xen->pages != NULL)
		drop(xen, &xen->pages);
}

/* Grants of fresh pages for `domain`, to be freed; NULL with an error in *error. */
static struct ioctl_gntalloc_alloc_gref *allocate_grants(struct lvif_xen *xen, uint16_t domain, uint32_t count,
                                                         int *error)
{
	struct ioctl_gntalloc_alloc_gref *const grants = calloc(1, sizeof(*grants) + count * sizeof(uint32_t));

	*error = -ENOMEM;
	if (grants == NULL)
		return NULL;
	grants->domid = domain;
	grants->flags = GNTALLOC_FLAG_WRITABLE;
	grants->count = count;
	if (xen->calls->gntalloc_ioctl(xen->gntalloc, IOCTL_GNTALLOC_ALLOC_GREF, grants) == 0)
		return grants;
	*error = -errno;
	if (*error == -ENOSPC)
		snprintf(xen->error, sizeof(xen->error),
		         "no grants for %u pages: /dev/xen/gntalloc shares 1024 unless told otherwise; "
		         "echo 4096 > /sys/module/xen_gntalloc/parameters/limit, or use smaller rings or fewer queues",
		         count);
	else
		snprintf(xen->error, sizeof(xen->error), "no grants for %u pages of domain %u: %s", count, domain,
		         strerror(errno));
	free(grants);
	return NULL;
}

/* `view`: all pages of the allocation, first the data's, then the directory's. */
static void write_directory(uint8_t *view, uint32_t data_pages, uint32_t const *grants)
{
	uint32_t const directories = lvif_directory_pages(data_pages);
	struct lvif_grant_directory *const directory =
	        (struct lvif_grant_directory *)(void *)(view + (size_t)data_pages * LVIF_PAGE_BYTES);

	for (uint32_t i = 0; i < directories; i++)
		lvif_directory_write(&directory[i], data_pages, i, grants, grants + data_pages);
}

/* Puts gntalloc's pages, with the same content, into the place of the private ones. */
static int replace_pages(struct lvif_xen *xen, struct lvif_xen_pages const *pages, uint32_t const *grants)
{
	struct lvif_xen_calls const *const calls = xen->calls;
	uint32_t const data_pages = (uint32_t)(pages->bytes / LVIF_PAGE_BYTES);
	size_t const all = (size_t)pages->grants * LVIF_PAGE_BYTES;
	int const protection = PROT_READ | PROT_WRITE;
	int error = 0;
	void *const view = calls->map(NULL, all, protection, MAP_SHARED, xen->gntalloc, (off_t)pages->index);

	if (view == MAP_FAILED)
		return -errno;
	memcpy(view, pages->address, pages->bytes);
	write_directory(view, data_pages, grants);
	if (calls->map(pages->address, pages->bytes, protection, MAP_SHARED | MAP_FIXED, xen->gntalloc,
	               (off_t)pages->index) == MAP_FAILED) {
		error = -errno;
		/* The private pages may be gone; the address stays taken until it is freed. */
		(void)calls->map(pages->address, pages->bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
		                 0);
	}
	calls->unmap(view, all);
	return error;
}

int lvif_xen_share(struct lvif_xen *xen, void *address, size_t bytes, uint16_t domain, uint32_t *region)
{
	struct lvif_xen_pages *pages = xen->pages;
	struct ioctl_gntalloc_alloc_gref *grants;
	uint32_t data_pages;
	int error;

	while (pages != NULL && pages->address != address)
		pages = pages->next;
	if (pages == NULL || round_up(bytes) != pages->bytes || pages->grants != 0)
		return -EINVAL;
	data_pages = (uint32_t)(pages->bytes / LVIF_PAGE_BYTES);
	grants = allocate_grants(xen, domain, data_pages + lvif_directory_pages(data_pages), &error);
	if (grants == NULL)
		return error;
	pages->grants = grants->count;
	pages->index = grants->index;
	pages->region = grants->gref_ids[data_pages];
	error = replace_pages(xen, pages, grants->gref_ids);
	free(grants);
	if (error != 0) {
		snprintf(xen->error, sizeof(xen->error), "mapping %u pages of /dev/xen/gntalloc: %s", pages->grants,
		         strerror(-error));
		(void)end_grants(xen, pages);
		return error;
	}
	xen->error[0] = '\0';
	*region = pages->region;
	return 0;
}

int lvif_xen_unshare(struct lvif_xen *xen, uint32_t region)
{
	for (struct lvif_xen_pages *pages = xen->pages; pages != NULL; pages = pages->next) {
		if (pages->grants != 0 && pages->region == region)
			return end_grants(xen, pages);
	}
	return -ENOENT;
}
