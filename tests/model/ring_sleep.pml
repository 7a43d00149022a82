/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The sleep protocol of the frame ring (librettos/frame_ring.h, "Waiting"), both directions.
 *
 * Theory of operation. A producer sends FRAMES frames of one size through a ring that holds CAPACITY of them; a consumer takes them.
 * Each publishes its position at once or later, as it likes, but before it sleeps; a consumer that finds nothing sleeps or looks
 * again (librettos/poll_window.h). Memory is as on a machine with store buffers:
 * a store goes into its process's FIFO buffer and reaches memory at any later time; a load reads memory; a fence waits until the
 * buffer is empty. (Each reads only what the other writes, so a load never has to look into its own buffer.) An event is a bit that a
 * notification sets and a wait takes; somebody may set it without reason, a few times.
 *
 * Property: the only state in which nothing moves is the one where all frames were taken. A consumer that sleeps for ever
 * with a published frame in the ring, or a producer that waits for ever with room in it, is an invalid end state for pan.
 *
 * Each of these takes one step out of the protocol, and pan must find what that breaks:
 *   NO_CONSUMER_LOOK  NO_CONSUMER_FENCE   the consumer's second look, and the fence before it
 *   NO_PRODUCER_LOOK  NO_PRODUCER_FENCE   the same of the producer that waits for space
 *   NO_HEAD_FENCE     NO_TAIL_FENCE       the fence between publishing and reading the peer's flag
 */
#ifndef FRAMES
#define FRAMES 5
#endif
#ifndef CAPACITY
#define CAPACITY 2
#endif
#define SPURIOUS_EVENTS 2

#define HEAD 0
#define TAIL 1
#define SLEEPS 2
#define WAITS 3

byte memory[4];
chan producer_stores = [4] of { byte, byte };
chan consumer_stores = [4] of { byte, byte };
bool frames_event;
bool space_event;
byte taken;

#define fence(stores) empty(stores)

proctype StoreBuffer(chan stores)
{
	byte variable, value;

end:	do
	:: atomic { stores?variable, value -> memory[variable] = value; variable = 0; value = 0 }
	od
}

proctype Spurious()
{
	byte left = SPURIOUS_EVENTS;

end:	do
	:: atomic { left > 0 -> frames_event = true; left-- }
	:: atomic { left > 0 -> space_event = true; left-- }
	od
}

inline publish_head()
{
	if
	:: head != published ->
		producer_stores!HEAD, head;
		published = head;
#ifndef NO_HEAD_FENCE
		fence(producer_stores);
#endif
		if
		:: memory[SLEEPS] == 1 -> frames_event = true
		:: else
		fi
	:: else
	fi
}

inline wait_for_space()
{
	waits = true;
	producer_stores!WAITS, 1;
#ifndef NO_PRODUCER_FENCE
	fence(producer_stores);
#endif
#ifndef NO_PRODUCER_LOOK
	tail_seen = memory[TAIL];
#endif
	if
	:: head - tail_seen < CAPACITY
	:: else -> atomic { space_event -> space_event = false }
	fi
}

proctype Producer()
{
	byte head, published, tail_seen;
	bool waits;

	do
	:: head == FRAMES -> break
	:: head < FRAMES ->
		if
		:: head - tail_seen < CAPACITY
		:: else -> tail_seen = memory[TAIL]
		fi;
		if
		:: head - tail_seen < CAPACITY ->
			if
			:: waits -> waits = false; producer_stores!WAITS, 0
			:: else
			fi;
			head++;
			if
			:: publish_head()
			:: skip
			fi
		:: else ->
			publish_head();
			wait_for_space()
		fi
	od;
	publish_head()
}

inline publish_tail()
{
	if
	:: tail != published ->
		consumer_stores!TAIL, tail;
		published = tail;
#ifndef NO_TAIL_FENCE
		fence(consumer_stores);
#endif
		if
		:: memory[WAITS] == 1 -> space_event = true
		:: else
		fi
	:: else
	fi
}

inline sleep()
{
	consumer_stores!SLEEPS, 1;
#ifndef NO_CONSUMER_FENCE
	fence(consumer_stores);
#endif
#ifndef NO_CONSUMER_LOOK
	head_seen = memory[HEAD];
#endif
	if
	:: head_seen != tail
	:: else -> atomic { frames_event -> frames_event = false }
	fi;
	consumer_stores!SLEEPS, 0
}

proctype Consumer()
{
	byte tail, published, head_seen;

	do
	:: tail == FRAMES -> break
	:: tail < FRAMES ->
		if
		:: head_seen != tail
		:: else -> head_seen = memory[HEAD]
		fi;
		assert(head_seen - tail <= CAPACITY);
		if
		:: head_seen != tail ->
			tail++;
			taken++;
			if
			:: publish_tail()
			:: skip
			fi
		:: else ->
			publish_tail();
			if
			:: sleep()
			:: skip /* looks on, with SLEEPS 0, as often as it likes */
			fi
		fi
	od;
	publish_tail();
	assert(taken == FRAMES)
}

init
{
	atomic {
		run StoreBuffer(producer_stores);
		run StoreBuffer(consumer_stores);
		run Spurious();
		run Producer();
		run Consumer()
	}
}
