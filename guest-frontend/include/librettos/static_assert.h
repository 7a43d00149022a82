/* SPDX-License-Identifier: BSD-2-Clause */
/* One spelling of a static assertion for the C11 and the C++20 readers of the wire headers. */
#ifndef LIBRETTOS_STATIC_ASSERT_H
#define LIBRETTOS_STATIC_ASSERT_H

#ifdef __cplusplus
#define LVIF_STATIC_ASSERT(condition, text) static_assert(condition, text)
#else
#define LVIF_STATIC_ASSERT(condition, text) _Static_assert(condition, text)
#endif

#endif
