/* SPDX-License-Identifier: BSD-2-Clause */
/* Client of librettos-hypervisord: sharing and mapping memory. */
#define _GNU_SOURCE
#include "hypervisord_connection.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

static int sealed_memfd(size_t bytes)
{
	int fd = memfd_create("lvif", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);

	if (fd < 0 && errno == EINVAL) /* before Linux 6.3 */
		fd = memfd_create("lvif", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -1;
	if (ftruncate(fd, (off_t)bytes) == 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
		return fd;
	close(fd);
	return -1;
}

void *lvif_hv_pages_allocate(struct lvif_hv *hv, size_t bytes)
{
	size_t const page = (size_t)sysconf(_SC_PAGESIZE);
	struct lvif_hv_pages *pages;

	if (bytes == 0 || bytes > LVIF_HVP_REGION_BYTES_MAX)
		return NULL;
	bytes = (bytes + page - 1) & ~(page - 1);
	pages = malloc(sizeof(*pages));
	if (pages == NULL)
		return NULL;
	pages->bytes = bytes;
	pages->fd = sealed_memfd(bytes);
	if (pages->fd < 0) {
		free(pages);
		return NULL;
	}
	pages->address = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, pages->fd, 0);
	if (pages->address == MAP_FAILED) {
		close(pages->fd);
		free(pages);
		return NULL;
	}
	lvif_hv_begin(hv);
	pages->next = hv->pages;
	hv->pages = pages;
	lvif_hv_end(hv);
	return pages->address;
}

static struct lvif_hv_pages **find_pages(struct lvif_hv *hv, void const *address)
{
	struct lvif_hv_pages **pages = &hv->pages;

	while (*pages != NULL && (*pages)->address != address)
		pages = &(*pages)->next;
	return pages;
}

void lvif_hv_pages_free(struct lvif_hv *hv, void *address, size_t bytes)
{
	struct lvif_hv_pages **link;
	struct lvif_hv_pages *pages;

	(void)bytes;
	lvif_hv_begin(hv);
	link = find_pages(hv, address);
	pages = *link;
	if (pages != NULL)
		*link = pages->next;
	lvif_hv_end(hv);
	if (pages == NULL)
		return;
	munmap(pages->address, pages->bytes);
	close(pages->fd);
	free(pages);
}

int lvif_hv_share(struct lvif_hv *hv, void *address, size_t bytes, uint16_t domain, uint32_t *region)
{
	size_t const page = (size_t)sysconf(_SC_PAGESIZE);
	struct lvif_hv_pages const *pages;
	int status = -EINVAL;

	lvif_hv_begin(hv);
	pages = *find_pages(hv, address);
	if (pages != NULL && bytes <= pages->bytes && pages->bytes - bytes < page) {
		status = lvif_hv_exchange(hv, &(struct lvif_hv_request){.operation = LVIF_HVP_SHARE,
		                                                        .argument = {pages->bytes, domain},
		                                                        .send_fd = pages->fd});
		if (status == 0)
			*region = (uint32_t)hv->message.header.argument[0];
	}
	lvif_hv_end(hv);
	return status;
}

int lvif_hv_unshare(struct lvif_hv *hv, uint32_t region)
{
	return lvif_hv_call(
	        hv, &(struct lvif_hv_request){.operation = LVIF_HVP_UNSHARE, .argument = {region}, .send_fd = -1},
	        NULL);
}

int lvif_hv_map(struct lvif_hv *hv, uint16_t domain, uint32_t region, size_t bytes, int64_t life_sign_offset,
                uint32_t event_port, void **address)
{
	bool const sign = life_sign_offset >= 0;
	int fd = -1;
	int status = lvif_hv_call(
	        hv,
	        &(struct lvif_hv_request){.operation = LVIF_HVP_MAP,
	                                  .argument = {domain, region, bytes,
	                                               sign ? (uint64_t)life_sign_offset : LVIF_HVP_NO_LIFE_SIGN,
	                                               sign ? event_port : 0},
	                                  .send_fd = -1,
	                                  .fds = &fd,
	                                  .fd_count = 1},
	        NULL);

	if (status != 0)
		return status;
	*address = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	status = *address == MAP_FAILED ? -errno : 0;
	close(fd);
	if (status != 0)
		lvif_hv_unmap(hv, domain, region, NULL, 0);
	return status;
}

int lvif_hv_unmap(struct lvif_hv *hv, uint16_t domain, uint32_t region, void *address, size_t bytes)
{
	int status;

	if (address != NULL && munmap(address, bytes) != 0)
		return -errno;
	status = lvif_hv_call(
	        hv, &(struct lvif_hv_request){.operation = LVIF_HVP_UNMAP, .argument = {domain, region}, .send_fd = -1},
	        NULL);
	return status == -ENOENT ? 0 : status; /* its domain went first */
}
