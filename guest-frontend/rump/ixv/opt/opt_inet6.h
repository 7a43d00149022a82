/* SPDX-License-Identifier: BSD-2-Clause */
/* What config(1) would make for the driver: a kernel with IPv6. */
#define INET6 1
