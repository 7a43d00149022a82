/* SPDX-License-Identifier: BSD-2-Clause */
/* librettos-portmap-assign: tells the hypervisor which domain may map the portmap's table. In the control domain. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xencall.h>

#include <librettos/portmap_hypercall.h>

enum { fine = 0, refused = 1, wrong_usage = 2, no_portmap = 3 };

static int usage(void) {
    fputs("usage: librettos-portmap-assign DOMAIN-ID | nobody\n", stderr);
    return wrong_usage;
}

/* A domain's id in decimal, without sign or leading zero; LVIF_PORTMAP_NOBODY for "nobody"; else negative. */
static long parse_domain(char const* text) {
    char* end;
    long id;

    if (strcmp(text, "nobody") == 0) {
        return LVIF_PORTMAP_NOBODY;
    }
    if (text[0] < '0' || text[0] > '9' || (text[0] == '0' && text[1] != '\0')) {
        return -1;
    }
    errno = 0;
    id = strtol(text, &end, 10);
    return *end == '\0' && errno == 0 && id < LVIF_PORTMAP_SELF ? id : -1;
}

/* 0 or a negative errno; `structure` comes back as the hypervisor left it. */
static int call(xencall_handle* calls, enum lvif_portmap_operation operation, void* structure, size_t bytes) {
    void* const buffer = xencall_alloc_buffer(calls, bytes);
    int status;

    if (buffer == NULL) {
        return -ENOMEM;
    }
    memcpy(buffer, structure, bytes);
    status = xencall2(calls, LVIF_PORTMAP_HYPERCALL, operation, (uint64_t)(uintptr_t)buffer) < 0 ? -errno : 0;
    memcpy(structure, buffer, bytes);
    xencall_free_buffer(calls, buffer);
    return status;
}

static char const* explain(int status) {
    switch (status) {
        case -EPERM:
            return "only the control domain may";
        case -ENOENT:
            return "there is no such domain; xl list shows them";
        case -EBUSY:
            return "another domain has the portmap's table mapped; stop the server there first";
        default:
            return strerror(-status);
    }
}

static int assign(xencall_handle* calls, char const* name, uint16_t domain) {
    struct lvif_portmap_features features = {0};
    struct lvif_portmap_domain server = {.domain = domain};
    int status = call(calls, LVIF_PORTMAP_OP_FEATURES, &features, sizeof(features));

    if (status == -ENOSYS ||
        (status == 0 && (features.magic != LVIF_PORTMAP_ABI_MAGIC || features.abi != LVIF_PORTMAP_ABI))) {
        fprintf(stderr, "librettos-portmap-assign: the hypervisor keeps no portmap%s; the server does\n",
                status == 0 ? " of this release" : "");
        return no_portmap;
    }
    if (status == 0) {
        status = call(calls, LVIF_PORTMAP_OP_ASSIGN_SERVER, &server, sizeof(server));
    }
    if (status != 0) {
        fprintf(stderr, "librettos-portmap-assign: %s: %s\n", name, explain(status));
    }
    return status == 0 ? fine : refused;
}

int main(int count, char** words) {
    long const domain = count == 2 ? parse_domain(words[1]) : -1;
    xencall_handle* calls;
    int result;

    if (domain < 0) {
        return usage();
    }
    calls = xencall_open(NULL, 0);
    if (calls == NULL) {
        fprintf(stderr, "librettos-portmap-assign: /dev/xen/privcmd: %s (run it as root; modprobe xen-privcmd)\n",
                strerror(errno));
        return refused;
    }
    result = assign(calls, words[1], (uint16_t)domain);
    xencall_close(calls);
    return result;
}
