# SPDX-License-Identifier: BSD-2-Clause
# The data threads: the loop between the port's queues and the guests' rings. DPDK's bursts, no Xen.
add_library(librettos_datapath STATIC
  coalesce.cpp
  data_plane.cpp
  data_thread.cpp
  guest_path.cpp
  large_frames.cpp
  publish.cpp
  mbuf_use.cpp
  wire_path.cpp)
target_link_libraries(librettos_datapath PUBLIC librettos_classify librettos_options PkgConfig::DPDK Threads::Threads)
# DPDK's lcore id, asked for with each buffer that is freed, is thread-local in a library that every program has from its start.
target_compile_options(librettos_datapath PRIVATE -ftls-model=initial-exec)
# A ring's next lines were last read by the guest: they are fetched for writing. Processors without the instruction ignore it.
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  target_compile_options(librettos_datapath PRIVATE -mprfchw)
endif()
