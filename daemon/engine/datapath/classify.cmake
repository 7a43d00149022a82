# SPDX-License-Identifier: BSD-2-Clause
# Which guest a frame is for: knows bytes and addresses, no DPDK and no rings.
add_library(librettos_classify STATIC
  checksum.cpp
  classify.cpp
  directory.cpp
  segment.cpp)
target_link_libraries(librettos_classify PUBLIC librettos_options lvif_headers)
