/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The switch: a guest with an address of its own moves between the rings and a VF of the server's NIC while it runs, with the
 * same MAC, the same IP and one network interface throughout. The server leads, the guest follows:
 *
 *     server                                            guest
 *     gives the VF the guest's MAC
 *     SWITCH_PREPARE  ------------------------------->  finds the VF by that MAC, brings it up, receives from both
 *                     <----------------------- reply 0
 *     steers the MAC to the VF; what it had received
 *     before is in the rx rings: marks them            finds them marked, then empty: the VF's frames follow
 *     SWITCH_COMMIT   ------------------------------->  sends through the VF
 *                     <----------------------- reply 0  DIRECT; the rings stay, for what local guests send, and as the way back
 *
 *     SWITCH_BACK     ------------------------------->  sends through the rings
 *                     <----------------------- reply 0
 *     steers the MAC to its own port
 *     SWITCH_RELEASE  ------------------------------->  takes what the VF still has, lets it go
 *                     <----------------------- reply 0
 *     may give the VF to another guest
 *
 * Each message means a state to reach, not a step: what has been reached is answered with 0 at once, so that a server that does not
 * know how far its predecessor came just says it again. BACK and RELEASE undo whatever was begun. A new message replaces the one
 * before, which is then not answered. Errors: -EOPNOTSUPP, this guest cannot; -EINVAL, the MAC is not its own, or a COMMIT
 * without PREPARE; others as the VF's driver says, and the guest is where BACK and RELEASE lead to.
 *
 * The mark (frame_ring.h) spares frames that wait the way of a message through two control threads. It changes no state: a guest that
 * has seen it is PREPARED until COMMIT, which lets the VF's frames in as well, after what the rings hold then.
 *
 * A guest whose VF or its link goes away uses the rings at once, and says VF_LOST, once the ring has room, until the server's RELEASE.
 * A server that dies changes nothing; HELLO tells the next one whether the guest is DIRECT.
 */
#ifndef LIBRETTOS_VF_SWITCH_H
#define LIBRETTOS_VF_SWITCH_H

#include <stdint.h>

/* What the guest does with a VF. Called from lvif_poll() and lvif_close() alone. Functions that return int say 1: done; 0: not yet, call again
 * (lvif_poll() asks to be called within 1 ms); or a negative errno. */
struct lvif_vf_operations {
	/* Finds the VF with this address and brings it up, without address or routes of its own: its frames are received like those of
	 * the rings, those of the rings first: see lvif_rx_marked(). */
	int (*open)(void *context, uint8_t const mac[6], uint16_t vlan);
	/* From now on frames are sent through it, and not through the rings. lvif_tx_idle() tells when the rings are empty, for a
	 * guest that wants its frames in order. */
	int (*begin)(void *context);
	/* From now on frames are sent through the rings again. Undoes begin(), also half of it. */
	void (*end)(void *context);
	/* What it has received is delivered; it goes down. Undoes open(), also half of it. */
	void (*close)(void *context);
};

enum lvif_path {
	LVIF_PATH_RINGS,
	LVIF_PATH_PREPARED, /* received from both, sent through the rings */
	LVIF_PATH_DIRECT,   /* received from both, sent through the VF */
};

#endif
