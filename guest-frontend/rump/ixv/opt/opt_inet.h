/* SPDX-License-Identifier: BSD-2-Clause */
/* What config(1) would make for the driver: a kernel with IPv4. */
#define INET 1
