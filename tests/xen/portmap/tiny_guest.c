/* SPDX-License-Identifier: BSD-2-Clause */
/* A real PV domain that runs agent.c. Xen's headers for toolstacks want GNU C. */
#include "tiny_guest.h"

#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>
#include <xenctrl.h>
#include <xenevtchn.h>
#include <xenforeignmemory.h>
#include <xenguest.h>

#include "mailbox.h"

enum { MEMORY_MIB = 4, PATIENCE_S = 60 };

/* The kernel itself; AGENT_FILE is the build's. */
__asm__(
    ".section .rodata\n"
    ".balign 16\n"
    "agent_begin: .incbin \"" AGENT_FILE
    "\"\n"
    "agent_end:\n"
    ".previous\n");
extern uint8_t const agent_begin[];
extern uint8_t const agent_end[];

struct tiny_guest {
    xc_interface* control;
    xenforeignmemory_handle* memory;
    xenevtchn_handle* events;
    struct mailbox* mailbox;
    uint32_t domain;
    bool exists;
    int port;
};

static bool said(bool good, char const* what) {
    if (!good)
        fprintf(stderr, "tiny_guest: %s: %s\n", what, strerror(errno));
    return good;
}

/* The steps of xl's own domain builder, for a kernel without initial RAM disk, console and store. */
static bool boot(struct tiny_guest* guest, int guest_port) {
    struct xc_dom_image* image = xc_dom_allocate(guest->control, "", NULL);
    if (!said(image != NULL, "xc_dom_allocate"))
        return false;
    image->container_type = XC_DOM_PV_CONTAINER;
    image->max_vcpus = 1;
    image->xenstore_evtchn = (unsigned)guest_port;
    bool good =
        said(xc_dom_kernel_mem(image, agent_begin, (size_t)(agent_end - agent_begin)) == 0, "xc_dom_kernel_mem") &&
        said(xc_dom_boot_xen_init(image, guest->control, guest->domain) == 0, "xc_dom_boot_xen_init") &&
        said(xc_dom_parse_image(image) == 0, "xc_dom_parse_image") &&
        said(xc_dom_mem_init(image, MEMORY_MIB) == 0, "xc_dom_mem_init") &&
        said(xc_dom_boot_mem_init(image) == 0, "xc_dom_boot_mem_init") &&
        said(xc_dom_build_image(image) == 0, "xc_dom_build_image") &&
        said(xc_dom_boot_image(image) == 0, "xc_dom_boot_image");
    if (good) {
        xen_pfn_t frame = xc_dom_p2m(image, MAILBOX_FRAME);
        guest->mailbox = xenforeignmemory_map(guest->memory, guest->domain, PROT_READ | PROT_WRITE, 1, &frame, NULL);
        good = said(guest->mailbox != NULL, "mapping the mailbox");
    }
    xc_dom_release(image);
    return good;
}

/* A domU's, where FLASK wants one. */
static uint32_t label(struct tiny_guest const* guest) {
    char context[] = "system_u:system_r:domU_t";
    uint32_t sid = 0;
    return xc_flask_context_to_sid(guest->control, context, sizeof(context) - 1, &sid) == 0 ? sid : 0;
}

static bool create(struct tiny_guest* guest) {
    struct xen_domctl_createdomain config = {
        .ssidref = label(guest),
        .max_vcpus = 1,
        .max_evtchn_port = 63,
        .max_grant_frames = 1,
        .max_maptrack_frames = 0,
        .grant_opts = XEN_DOMCTL_GRANT_version(1),
    };
    if (!said(getrandom(config.handle, sizeof(config.handle), 0) == sizeof(config.handle), "getrandom"))
        return false;
    guest->exists = xc_domain_create(guest->control, &guest->domain, &config) == 0;
    if (!said(guest->exists, "xc_domain_create") ||
        !said(xc_domain_max_vcpus(guest->control, guest->domain, 1) == 0, "xc_domain_max_vcpus") ||
        !said(xc_domain_setmaxmem(guest->control, guest->domain, (MEMORY_MIB + 1) * 1024) == 0, "xc_domain_setmaxmem"))
        return false;
    int const guest_port = xc_evtchn_alloc_unbound(guest->control, guest->domain, 0);
    if (!said(guest_port > 0, "xc_evtchn_alloc_unbound") || !boot(guest, guest_port))
        return false;
    guest->port = xenevtchn_bind_interdomain(guest->events, guest->domain, (evtchn_port_t)guest_port);
    return said(guest->port > 0, "xenevtchn_bind_interdomain") &&
           said(xc_domain_unpause(guest->control, guest->domain) == 0, "xc_domain_unpause");
}

struct tiny_guest* tiny_guest_create(void) {
    struct tiny_guest* guest = calloc(1, sizeof(*guest));
    if (guest == NULL)
        return NULL;
    guest->control = xc_interface_open(NULL, NULL, 0);
    guest->memory = xenforeignmemory_open(NULL, 0);
    guest->events = xenevtchn_open(NULL, 0);
    if (said(guest->control != NULL && guest->memory != NULL && guest->events != NULL, "opening Xen's devices") &&
        create(guest))
        return guest;
    tiny_guest_destroy(guest);
    return NULL;
}

void tiny_guest_destroy(struct tiny_guest* guest) {
    if (guest == NULL)
        return;
    if (guest->mailbox != NULL)
        xenforeignmemory_unmap(guest->memory, guest->mailbox, 1);
    if (guest->events != NULL)
        xenevtchn_close(guest->events);
    if (guest->exists)
        said(xc_domain_destroy(guest->control, guest->domain) == 0, "xc_domain_destroy");
    if (guest->memory != NULL)
        xenforeignmemory_close(guest->memory);
    if (guest->control != NULL)
        xc_interface_close(guest->control);
    free(guest);
}

uint16_t tiny_guest_domain(struct tiny_guest const* guest) {
    return (uint16_t)guest->domain;
}

int tiny_guest_call(struct tiny_guest* guest, uint32_t operation, void* structure, size_t bytes) {
    struct mailbox* mailbox = guest->mailbox;
    uint32_t const asked = mailbox->asked + 1;
    time_t const end = time(NULL) + PATIENCE_S;
    if (bytes > MAILBOX_STRUCTURE_BYTES)
        return -EMSGSIZE;
    memcpy(mailbox->structure, structure, bytes);
    mailbox->operation = operation;
    __atomic_store_n(&mailbox->asked, asked, __ATOMIC_RELEASE);
    if (xenevtchn_notify(guest->events, (evtchn_port_t)guest->port) != 0)
        return -errno;
    while (__atomic_load_n(&mailbox->answered, __ATOMIC_ACQUIRE) != asked) {
        if (time(NULL) > end)
            return -ETIMEDOUT;
        sched_yield();
    }
    if (mailbox->status == 0)
        memcpy(structure, mailbox->structure, bytes);
    return mailbox->status;
}
