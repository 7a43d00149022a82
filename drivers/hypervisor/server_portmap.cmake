# SPDX-License-Identifier: BSD-2-Clause
# The server as the portmap's authority: knows no Xen, only the narrow store that it is given.
add_library(librettos_server_portmap STATIC
  ${CMAKE_CURRENT_LIST_DIR}/xen/portmap_text.cpp
  ${CMAKE_CURRENT_LIST_DIR}/xen/server_portmap.cpp
  ${CMAKE_CURRENT_LIST_DIR}/xen/server_portmap_store.cpp)
target_link_libraries(librettos_server_portmap PUBLIC librettos_portmap lvif_headers librettos_options)
