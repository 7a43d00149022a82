// SPDX-License-Identifier: BSD-2-Clause
// Making a guest's device.
#include "drivers/hypervisor/xen/attach_device.hpp"

#include <cerrno>
#include <system_error>

#include "drivers/hypervisor/xen/device_paths.hpp"

namespace librettos {

namespace {

std::string const initialising = std::to_string(LVIF_STATE_INITIALISING);

[[noreturn]] void refuse(int error, DomId guest, char const* why) {
    throw std::system_error(error, std::generic_category(), "domain " + std::to_string(guest.value) + why);
}

}  // namespace

void make_device_directories(XenStore& store, DomId server, DomId guest,
                             std::vector<std::pair<std::string, std::string>> const& backend_keys) {
    auto const frontend = frontend_path(guest);
    auto const backend = backend_path(server, guest);
    store.atomically([&] {
        if (!store.read(domain_path(guest)))
            refuse(ENOENT, guest, " does not exist");
        if (store.read(frontend + "/" LVIF_KEY_STATE))
            refuse(EEXIST, guest, " has a device of this class already");
        store.remove(frontend);  // what a guest left of its device
        store.remove(backend);   // and a domain that had this number before
        store.permit(backend, server, guest);
        store.write(backend + "/" LVIF_KEY_FRONTEND, frontend);
        store.write(backend + "/" LVIF_KEY_FRONTEND_ID, std::to_string(guest.value));
        for (auto const& [key, value] : backend_keys)
            store.write(backend + "/" + key, value);
        store.write(backend + "/" LVIF_KEY_STATE, initialising);
        store.permit(frontend, guest, server);
        store.write(frontend + "/" LVIF_KEY_BACKEND, backend);
        store.write(frontend + "/" LVIF_KEY_BACKEND_ID, std::to_string(server.value));
        store.write(frontend + "/" LVIF_KEY_STATE, initialising);
    });
}

}  // namespace librettos
