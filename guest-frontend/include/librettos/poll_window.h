/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How long a thread that ran out of frames looks on before it sleeps.
 *
 * To be woken costs more than to forward a frame, above all where a processor that idles is halted. A thread that looks
 * on gets the next frame at once, and its peer need not notify it (consumer_sleeps of frame_ring.h stays 0); but it takes
 * a processor, which the peer may need. So the time adapts to what comes:
 *
 *   - something came within the window: it stays.
 *   - it came later, yet within the limit: a longer window would have caught it, and gets twice as long.
 *   - it came later than that: nothing is gained by looking; the window is 0 until waits are short again.
 *   - between two looks more than the limit passed: others want the processor. Whoever looks on stands behind them in the queue, a
 *     sleeper that is woken before them. So the next waits are slept through: 16 of them, each time it happens
 *     again twice as many and 16 more, at most 1,024. Each wait that a look ends takes one off the number.
 *
 * A thread that gets nothing sleeps, and costs nothing. The caller gives its processor away between two looks
 * (sched_yield(2)), and measures time in one clock; all times are in nanoseconds since the last work.
 */
#ifndef LIBRETTOS_POLL_WINDOW_H
#define LIBRETTOS_POLL_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

#define LVIF_POLL_DEFAULT_US 200u
#define LVIF_POLL_MAX_US 1000000u

struct lvif_poll_window {
	uint64_t limit_ns;  /* the window is never longer; 0: never look on */
	uint64_t window_ns; /* of the present wait */
	uint64_t looked_ns; /* when poll_again() was called last in this wait */
	uint32_t penalty;   /* waits that will be slept through when others want the processor */
	uint32_t sleeps;    /* waits that still are */
	bool crowded;       /* others wanted it in this wait */
	bool slept;         /* this wait came to a sleep */
};

static inline struct lvif_poll_window lvif_poll_start(uint32_t limit_us)
{
	struct lvif_poll_window const window = {(uint64_t)limit_us * 1000u, 0, 0, 0, 0, false, false};

	return window;
}

/* Notes a look at waited_ns that comes long after the one before. A sleep is no such gap. */
static inline void lvif_poll_note_gap(struct lvif_poll_window *window, uint64_t waited_ns)
{
	if (!window->slept && window->window_ns != 0 && waited_ns - window->looked_ns > window->limit_ns)
		window->crowded = true;
	window->looked_ns = waited_ns;
}

/* Nothing came for waited_ns. True: look again; false: sleep. */
static inline bool lvif_poll_again(struct lvif_poll_window *window, uint64_t waited_ns)
{
	lvif_poll_note_gap(window, waited_ns);
	window->slept |= window->crowded || waited_ns >= window->window_ns;
	return !window->slept;
}

/* Something came after waited_ns, which ends this wait. */
static inline void lvif_poll_came(struct lvif_poll_window *window, uint64_t waited_ns)
{
	lvif_poll_note_gap(window, waited_ns);
	if (window->crowded) {
		window->penalty = window->penalty < 504 ? 2 * window->penalty + 16 : 1024;
		window->sleeps = window->penalty;
		window->window_ns = 0;
	} else if (window->sleeps != 0) {
		window->sleeps--;
	} else if (waited_ns > window->limit_ns) {
		window->window_ns = 0;
	} else if (waited_ns > window->window_ns) {
		window->window_ns = 2 * window->window_ns + window->limit_ns / 16;
		if (window->window_ns > window->limit_ns)
			window->window_ns = window->limit_ns;
	} else if (window->penalty != 0) {
		window->penalty--;
	}
	window->looked_ns = 0;
	window->crowded = false;
	window->slept = false;
}

#endif
