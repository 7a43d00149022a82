/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the component asks of rumprun's platform layer: Mini-OS' grants, event channels and xenbus, and the scheduler beneath the
 * rump kernel (bmk). The platform's own headers, or doubles of them in tests/unit/rumprun.
 *
 * The rules:
 *  - One virtual CPU. Threads are cooperative: one runs until it blocks. What lies between two calls that may block needs no lock.
 *  - An event handler runs on the interrupt stack, which is not aligned for SSE: no such register there, no allocation, nothing that
 *    blocks, nothing of the rump kernel's. It may write memory and wake a thread (handler.c).
 *  - Who goes to sleep unless something has happened raises the interrupt priority, looks, bmk_sched_blockprepare..., lowers it,
 *    bmk_sched_block(). A thread is woken only where it sleeps for us: elsewhere it may be inside the kernel, which does not expect it.
 *  - xenbus_* block, and bmk_sched_* of course: threads only, and only outside of the rump kernel (rumpkern_unsched). A text
 *    that they return is an error, or a value, and to be freed.
 *  - gnttab_grant_access() waits for ever when the table of 2,040 entries is used up.
 *  - gnttab_end_access() is 0 while the other side has the page mapped.
 */
#ifndef LIBRETTOS_RUMPRUN_MINIOS_H
#define LIBRETTOS_RUMPRUN_MINIOS_H

#include <mini-os/os.h>

#include <mini-os/events.h>
#include <mini-os/gnttab.h>
#include <mini-os/mm.h>
#include <mini-os/xenbus.h>

#include <bmk-core/errno.h>
#include <bmk-core/memalloc.h>
#include <bmk-core/pgalloc.h>
#include <bmk-core/platform.h>
#include <bmk-core/printf.h>
#include <bmk-core/sched.h>

#endif
