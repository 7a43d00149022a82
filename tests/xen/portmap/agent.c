/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The smallest guest there is: a PV kernel of one page of code that makes the portmap hypercalls that dom0 puts into
 * its mailbox. It lets a test have a real domain for each guest, in a fraction of the time that a Linux domU takes.
 *
 * It has one virtual processor, no interrupts (event upcalls stay masked); it spins for a moment, then waits in
 * SCHEDOP_poll for the channel that start_info calls the store's.
 */
#define __XEN_INTERFACE_VERSION__ 0x00040d00 /* handles are structures, sched_op has poll */

#include <stdbool.h>
#include <stdint.h>

#include <xen/elfnote.h>
#include <xen/event_channel.h>
#include <xen/sched.h>
#include <xen/xen.h>

#include <librettos/portmap_hypercall.h>

#include "mailbox.h"

#define PAGE_BYTES 4096
#define PTE_PRESENT_WRITABLE_USER 7
#define SPINS 20000

static volatile struct mailbox mailbox __attribute__((section(".mailbox"), aligned(PAGE_BYTES), used));
static uint8_t shared_info_page[PAGE_BYTES] __attribute__((aligned(PAGE_BYTES)));

static long hypercall(unsigned long number, unsigned long a, unsigned long b, unsigned long c) {
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result), "+D"(a), "+S"(b), "+d"(c)
                     : "0"(number)
                     : "rcx", "r8", "r9", "r10", "r11", "memory");
    return result;
}

/* Most requests follow the one before at once. */
static bool comes_soon(void) {
    for (unsigned i = 0; i < SPINS; i++) {
        if (__atomic_load_n(&mailbox.asked, __ATOMIC_ACQUIRE) != mailbox.answered)
            return true;
        __builtin_ia32_pause();
    }
    return false;
}

static void wait_for(shared_info_t* shared, evtchn_port_t port) {
    struct sched_poll poll = {.nr_ports = 1};
    set_xen_guest_handle(poll.ports, &port);
    hypercall(__HYPERVISOR_sched_op, SCHEDOP_poll, (unsigned long)&poll, 0);
    __atomic_fetch_and(&shared->evtchn_pending[port / 64], ~(1UL << (port % 64)), __ATOMIC_SEQ_CST);
}

__attribute__((noreturn, used)) void run(start_info_t const* start);

void run(start_info_t const* start) {
    shared_info_t* shared = (shared_info_t*)shared_info_page;
    hypercall(__HYPERVISOR_update_va_mapping, (unsigned long)shared, start->shared_info | PTE_PRESENT_WRITABLE_USER,
              UVMF_INVLPG);
    for (;;) {
        uint32_t const asked = __atomic_load_n(&mailbox.asked, __ATOMIC_ACQUIRE);
        if (asked == mailbox.answered) {
            if (!comes_soon())
                wait_for(shared, start->store_evtchn);
            continue;
        }
        mailbox.status =
            (int32_t)hypercall(LVIF_PORTMAP_HYPERCALL, mailbox.operation, (unsigned long)mailbox.structure, 0);
        __atomic_store_n(&mailbox.answered, asked, __ATOMIC_RELEASE);
    }
}

/* Xen gives a stack, and start_info in rsi. */
__asm__(
    ".text\n"
    ".global _start\n"
    "_start:\n"
    "    mov %rsi, %rdi\n"
    "    and $-16, %rsp\n"
    "    call run\n");

#define NOTE_TEXT(type, text)                    \
    __asm__(                                     \
        ".pushsection .note.Xen, \"a\", @note\n" \
        ".align 4\n"                             \
        ".long 4, 2f - 1f, " #type               \
        "\n"                                     \
        ".asciz \"Xen\"\n"                       \
        "1: .asciz \"" text                      \
        "\"\n"                                   \
        "2: .align 4\n"                          \
        ".popsection\n")
#define NOTE_QUAD(type, value)                   \
    __asm__(                                     \
        ".pushsection .note.Xen, \"a\", @note\n" \
        ".align 4\n"                             \
        ".long 4, 8, " #type                     \
        "\n"                                     \
        ".asciz \"Xen\"\n"                       \
        ".quad " #value                          \
        "\n"                                     \
        ".popsection\n")

NOTE_TEXT(6, "librettos-test-agent"); /* XEN_ELFNOTE_GUEST_OS */
NOTE_TEXT(5, "xen-3.0");              /* XEN_ELFNOTE_XEN_VERSION */
NOTE_TEXT(8, "generic");              /* XEN_ELFNOTE_LOADER */
NOTE_TEXT(9, "yes");                  /* XEN_ELFNOTE_PAE_MODE */
NOTE_QUAD(3, 0xffffffff80000000);     /* XEN_ELFNOTE_VIRT_BASE */
NOTE_QUAD(1, _start);                 /* XEN_ELFNOTE_ENTRY */

_Static_assert(XEN_ELFNOTE_ENTRY == 1 && XEN_ELFNOTE_VIRT_BASE == 3 && XEN_ELFNOTE_XEN_VERSION == 5 &&
                   XEN_ELFNOTE_GUEST_OS == 6 && XEN_ELFNOTE_LOADER == 8 && XEN_ELFNOTE_PAE_MODE == 9,
               "the notes' numbers, which assembler text cannot take from the header");
