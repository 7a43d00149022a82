/* SPDX-License-Identifier: BSD-2-Clause */
/* What dom0 and the agent share: one page, one request at a time. */
#ifndef LIBRETTOS_TEST_MAILBOX_H
#define LIBRETTOS_TEST_MAILBOX_H

#include <stdint.h>

#define MAILBOX_FRAME 0x100 /* of the agent's memory */
#define MAILBOX_STRUCTURE_BYTES 128

struct mailbox {
    uint32_t asked;    /* dom0: counts up when a request is there, then notifies */
    uint32_t answered; /* agent: equals `asked` when its answer is there */
    uint32_t operation;
    int32_t status; /* agent: 0 or a negative errno */
    uint8_t structure[MAILBOX_STRUCTURE_BYTES];
};

#endif
