# SPDX-License-Identifier: BSD-2-Clause
# Which guest a frame is for: knows bytes and addresses, no DPDK and no rings.
add_library(librettos_classify STATIC
  answers.cpp
  checksum.cpp
  classifier_state.cpp
  classify.cpp
  directory.cpp
  fragment_table.cpp
  from_guest.cpp
  from_wire.cpp
  groups.cpp
  held_fragments.cpp
  neighbours.cpp
  packet.cpp
  segment.cpp
  slots_by_address.cpp
  to_shared.cpp)
target_link_libraries(librettos_classify PUBLIC librettos_options lvif_headers)
