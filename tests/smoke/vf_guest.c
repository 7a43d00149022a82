/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest that can use a VF, over liblvif: answers ARP for its address and sends each UDP datagram back, by the path
 * that it is on.
 *
 *     vf_guest NAME HYPERVISOR_SOCKET HOLDS
 *
 * The VF is an interface of this network namespace, found by its MAC. While the folder HOLDS has a file named open,
 * begin or poll the guest does not get ready with that step, or says nothing at all. SIGTERM ends it in order.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <librettos/frontend.h>

#include "hypervisord_client.h"

#define FRAME_ROOM 2048u
#define BURST 64

static struct {
    struct lvif_hv* hv;
    struct lvif_device* device;
    char const* holds;
    int vf; /* packet socket; -1: none */
    bool sent_by_vf;
} guest = {.vf = -1};

static volatile sig_atomic_t ending;

static void end(int number) {
    (void)number;
    ending = 1;
}

static bool held(char const* step) {
    char path[256];

    snprintf(path, sizeof(path), "%s/%s", guest.holds, step);
    return access(path, F_OK) == 0;
}

/* ---- the VF ---- */

static int index_by_mac(uint8_t const mac[6], char name[IFNAMSIZ]) {
    struct ifaddrs* all;
    int index = 0;

    if (getifaddrs(&all) != 0)
        return 0;
    for (struct ifaddrs const* at = all; at != NULL && index == 0; at = at->ifa_next) {
        struct sockaddr_ll const* const link = (struct sockaddr_ll const*)at->ifa_addr;

        if (link == NULL || link->sll_family != AF_PACKET || link->sll_halen != 6 ||
            memcmp(link->sll_addr, mac, 6) != 0)
            continue;
        index = link->sll_ifindex;
        snprintf(name, IFNAMSIZ, "%s", at->ifa_name);
    }
    freeifaddrs(all);
    return index;
}

static int set_up(char const* name, bool up) {
    int const control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq request;
    int result;

    memset(&request, 0, sizeof(request));
    snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
    result = ioctl(control, SIOCGIFFLAGS, &request);
    request.ifr_flags = (short)(up ? request.ifr_flags | IFF_UP : request.ifr_flags & ~IFF_UP);
    if (result == 0)
        result = ioctl(control, SIOCSIFFLAGS, &request);
    result = result == 0 ? 0 : -errno;
    close(control);
    return result;
}

static int vf_open(void* context, uint8_t const mac[6], uint16_t vlan) {
    struct sockaddr_ll address;
    char name[IFNAMSIZ];
    int const on = 1;
    int index;

    (void)context;
    if (vlan != 0)
        return LVIF_EOPNOTSUPP;
    index = index_by_mac(mac, name);
    if (held("open") || index == 0)
        return 0;
    if (set_up(name, true) != 0)
        return LVIF_EIO;
    guest.vf = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ETH_P_ALL));
    memset(&address, 0, sizeof(address));
    address.sll_family = AF_PACKET;
    address.sll_protocol = htons(ETH_P_ALL);
    address.sll_ifindex = index;
    setsockopt(guest.vf, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on));
    return bind(guest.vf, (struct sockaddr const*)&address, sizeof(address)) == 0 ? 1 : -errno;
}

static int vf_begin(void* context) {
    (void)context;
    if (held("begin") || !lvif_tx_idle(guest.device, 0))
        return 0;
    guest.sent_by_vf = true;
    return 1;
}

static void vf_end(void* context) {
    (void)context;
    guest.sent_by_vf = false;
}

static void send_frame(uint8_t const* frame, uint32_t length) {
    if (guest.sent_by_vf) {
        if (send(guest.vf, frame, length, 0) < 0)
            perror("vf");
    } else if (lvif_tx_frame(guest.device, 0, frame, length, NULL) == 0) {
        lvif_tx_publish(guest.device, 0);
    }
}

/* ---- what it says on the network ---- */

static void answer_arp(uint8_t* frame, struct lvif_offer const* offer) {
    if (frame[21] != 1 || memcmp(frame + 38, offer->ipv4, 4) != 0)
        return;
    frame[21] = 2;
    memcpy(frame + 32, frame + 22, 10); /* the asker becomes the target */
    memcpy(frame + 22, offer->mac, 6);
    memcpy(frame + 28, offer->ipv4, 4);
    memcpy(frame, frame + 6, 6);
    memcpy(frame + 6, offer->mac, 6);
    send_frame(frame, 42);
}

static void swap(uint8_t* one, uint8_t* other, size_t bytes) {
    uint8_t kept[8];

    memcpy(kept, one, bytes);
    memcpy(one, other, bytes);
    memcpy(other, kept, bytes);
}

/* Addresses and ports change places, which no checksum minds. Byte 8 of the payload says by which path the datagram
 * came, and 9 by which it goes; without a checksum over them. */
static void answer_udp(uint8_t* frame, uint32_t length, struct lvif_offer const* offer, char came_by) {
    if (frame[14] != 0x45 || frame[23] != IPPROTO_UDP || memcmp(frame + 30, offer->ipv4, 4) != 0 || length < 52)
        return;
    swap(frame, frame + 6, 6);
    memcpy(frame + 6, offer->mac, 6);
    swap(frame + 26, frame + 30, 4);
    swap(frame + 34, frame + 36, 2);
    memset(frame + 40, 0, 2);
    frame[50] = (uint8_t)came_by;
    frame[51] = guest.sent_by_vf ? 'v' : 'r';
    send_frame(frame, length);
}

static void take(uint8_t const* bytes, uint32_t length, char came_by) {
    struct lvif_offer const* const offer = lvif_offer(guest.device);
    uint8_t frame[FRAME_ROOM];

    if (offer == NULL || length < 42 || length > sizeof(frame))
        return;
    memcpy(frame, bytes, length);
    if (frame[12] == 8 && frame[13] == 6)
        answer_arp(frame, offer);
    else if (frame[12] == 8 && frame[13] == 0)
        answer_udp(frame, length, offer, came_by);
}

static void receive_rings(void) {
    struct lvif_frame frame;

    while (lvif_rx_peek(guest.device, 0, &frame) == 1) {
        take(frame.bytes, frame.length, 'r');
        lvif_rx_release(guest.device, 0);
    }
    lvif_rx_publish(guest.device, 0);
}

static void receive_vf(void) {
    uint8_t frame[FRAME_ROOM];

    for (int n = 0; guest.vf >= 0 && n < BURST; ++n) {
        ssize_t const length = recv(guest.vf, frame, sizeof(frame), 0);

        if (length > 0)
            take(frame, (uint32_t)length, 'v');
        else if (length < 0 && errno == EAGAIN)
            return;
        else if (length < 0 && lvif_path(guest.device) != LVIF_PATH_RINGS)
            lvif_vf_lost(guest.device); /* ENETDOWN, or it is gone */
    }
}

static void vf_close(void* context) {
    (void)context;
    receive_vf();
    if (guest.vf >= 0)
        close(guest.vf);
    guest.vf = -1;
}

/* ---- the loop ---- */

static void clear_watches(void) {
    char watched[LVIF_HV_PATH_MAX + 1], changed[LVIF_HV_PATH_MAX + 1];

    while (lvif_hv_take_event(guest.hv, watched, changed) == 1)
        ;
}

static void wait_for_work(bool connected) {
    struct pollfd fds[4] = {{lvif_hv_fd(guest.hv), POLLIN, 0}, {-1, POLLIN, 0}, {-1, POLLIN, 0}, {guest.vf, POLLIN, 0}};

    if (connected) {
        fds[1].fd = lvif_hv_event_fd(guest.hv, lvif_control_event(guest.device));
        fds[2].fd = lvif_hv_event_fd(guest.hv, lvif_queue_event(guest.device, 0));
        if (!lvif_rx_sleep(guest.device, 0))
            return;
    }
    poll(fds, 4, 1); /* the shortest step of a switch */
    if (connected) {
        lvif_rx_wake(guest.device, 0);
        lvif_hv_event_clear(guest.hv, lvif_control_event(guest.device));
        lvif_hv_event_clear(guest.hv, lvif_queue_event(guest.device, 0));
    }
    clear_watches();
}

int main(int argc, char** argv) {
    static struct lvif_vf_operations const vf = {vf_open, vf_begin, vf_end, vf_close};
    struct lvif_options const options = {.mode = LVIF_MODE_DEDICATED, .program = "vf_guest"};
    struct lvif_environment environment;
    int result;

    if (argc != 4) {
        fprintf(stderr, "usage: vf_guest NAME HYPERVISOR_SOCKET HOLDS\n");
        return 2;
    }
    guest.holds = argv[3];
    signal(SIGTERM, end);
    result = lvif_hv_connect(argv[2], LVIF_HV_GUEST, argv[1], &guest.hv);
    guest.device = aligned_alloc(64, (lvif_device_bytes() + 63) / 64 * 64);
    if (result < 0 || guest.device == NULL) {
        fprintf(stderr, "vf_guest: %s: %s\n", argv[2], strerror(-result));
        return 1;
    }
    lvif_hv_environment(guest.hv, &environment);
    environment.vf = &vf;
    if (lvif_open(guest.device, &environment, &options) != 0)
        return 1;
    while (!ending) {
        bool connected;
        uint64_t next;

        connected = !held("poll") && lvif_poll(guest.device, &next) == LVIF_PHASE_CONNECTED;
        if (connected)
            receive_rings();
        receive_vf();
        wait_for_work(connected);
    }
    lvif_close(guest.device);
    lvif_hv_close(guest.hv);
    return 0;
}
