# SPDX-License-Identifier: BSD-2-Clause
# The data threads: the loop between the port's queues and the guests' rings. DPDK's bursts, no Xen.
add_library(librettos_datapath STATIC
  data_plane.cpp
  data_thread.cpp
  guest_path.cpp
  wire_path.cpp)
target_link_libraries(librettos_datapath PUBLIC librettos_classify librettos_options PkgConfig::DPDK Threads::Threads)
