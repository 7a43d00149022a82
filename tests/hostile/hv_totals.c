/* SPDX-License-Identifier: BSD-2-Clause */
/* Prints as JSON what hypervisord holds:  hv_totals SOCKET */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "hypervisord_client.h"

int main(int argc, char** argv) {
    struct lvif_hv_totals t;
    struct lvif_hv* hv;
    int status = argc == 2 ? lvif_hv_connect(argv[1], LVIF_HV_CONTROL, "", &hv) : -22;

    if (status == 0)
        status = lvif_hv_statistics(hv, &t);
    if (status != 0) {
        fprintf(stderr, "hv_totals: %s\n", strerror(-status));
        return 1;
    }
    printf("{\"domains\": %" PRIu64 ", \"connections\": %" PRIu64 ", \"store_nodes\": %" PRIu64
           ", \"watches\": %" PRIu64 ", \"queued_events\": %" PRIu64 ", \"regions\": %" PRIu64
           ", \"mappings\": %" PRIu64 ", \"channels\": %" PRIu64 ", \"bound_channels\": %" PRIu64
           ", \"owned_ports\": %" PRIu64 ", \"quarantined_ports\": %" PRIu64 "}\n",
           t.domains, t.connections, t.store_nodes, t.watches, t.queued_events, t.regions, t.mappings, t.channels,
           t.bound_channels, t.owned_ports, t.quarantined_ports);
    lvif_hv_close(hv);
    return 0;
}
