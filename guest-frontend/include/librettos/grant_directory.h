/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The grant directory: how one number in the store names a region of guest memory on Xen.
 *
 * Wherever handshake.h says "region" (rings and control rings alike, also those of one page), the number is on Xen the
 * grant reference of a directory page, which lists the grants of the region's pages in order:
 *
 *   store: tx-ring = 731
 *                     |
 *                     v        page 0 .. 1019              page 1020 ..
 *   directory page  | count next | grant grant grant .. |  next -->  | count 0 | grant grant .. 0 0 0 |
 *                                     |     |
 *                                     v     v
 *                                   page 0  page 1   (page 0: the ring's header)
 *
 * Writer guest, before it writes the number to the store; reader server. The grants of data pages are writable, those
 * of directory pages need not be. All are made for the server's domain and stay until the connection ends: a restarted server
 * reads the directory again.
 *
 * The server knows how many pages the region must have (one, or 1 + ring-bytes / 4096). It copies a directory page
 * once and goes by the copy: every directory page but the last is full, `count` is exactly what is left of the
 * region up to LVIF_GRANTS_PER_DIRECTORY, `next` is 0 on the last and only there; entries beyond `count` are zero when written and
 * ignored when read. A number that is no grant of the guest's, or not one for the server, is the hypervisor's to refuse.
 *
 * A guest of the default size (one queue pair, rings of 256 KiB) needs 136 grants: two rings of 65 pages, two control
 * rings of one, and a directory page for each.
 */
#ifndef LIBRETTOS_GRANT_DIRECTORY_H
#define LIBRETTOS_GRANT_DIRECTORY_H

#include <stddef.h>
#include <stdint.h>

#include <librettos/frame_ring.h>
#include <librettos/static_assert.h>

#define LVIF_DIRECTORY_MAGIC 0x4e524744u /* "DGRN", little endian */
#define LVIF_DIRECTORY_VERSION 1u
#define LVIF_GRANTS_PER_DIRECTORY 1020u

struct lvif_grant_directory {
	uint32_t magic;   /* LVIF_DIRECTORY_MAGIC */
	uint32_t version; /* LVIF_DIRECTORY_VERSION */
	uint32_t count;   /* entries in use, 1 .. LVIF_GRANTS_PER_DIRECTORY */
	uint32_t next;    /* grant of the next directory page; 0, which is no grant of a guest's: this is the last */
	uint32_t grant[LVIF_GRANTS_PER_DIRECTORY];
};

LVIF_STATIC_ASSERT(sizeof(struct lvif_grant_directory) == LVIF_PAGE_BYTES, "a directory is one page");
LVIF_STATIC_ASSERT(offsetof(struct lvif_grant_directory, grant) == 16, "directory");

/* Directory pages that a region of `pages` pages needs. */
static inline uint32_t lvif_directory_pages(uint32_t pages)
{
	return (pages + LVIF_GRANTS_PER_DIRECTORY - 1u) / LVIF_GRANTS_PER_DIRECTORY;
}

/* Entries of directory page `index` of a region of `pages` pages. */
static inline uint32_t lvif_directory_count(uint32_t pages, uint32_t index)
{
	uint32_t const left = pages - index * LVIF_GRANTS_PER_DIRECTORY;
	return left < LVIF_GRANTS_PER_DIRECTORY ? left : LVIF_GRANTS_PER_DIRECTORY;
}

/*
 * Writes directory page `index` of a region of `pages` pages; the page is zero before. `data`: the grants of all those pages;
 * `directories`: the grants of all directory pages. Reads nothing from the page: it may be granted already.
 */
static inline void lvif_directory_write(struct lvif_grant_directory *page, uint32_t pages, uint32_t index,
                                        uint32_t const *data, uint32_t const *directories)
{
	uint32_t const count = lvif_directory_count(pages, index);

	page->magic = LVIF_DIRECTORY_MAGIC;
	page->version = LVIF_DIRECTORY_VERSION;
	page->count = count;
	page->next = index + 1u < lvif_directory_pages(pages) ? directories[index + 1u] : 0;
	for (uint32_t i = 0; i < count; i++)
		page->grant[i] = data[index * LVIF_GRANTS_PER_DIRECTORY + i];
}

#endif
