// SPDX-License-Identifier: BSD-2-Clause
// Takes engines from files, loads them into children.
#include "daemon/holder/engine_image.hpp"

#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <map>
#include <set>
#include <system_error>

namespace librettos {
namespace {

constexpr std::uint64_t most_loaded_bytes = 256 << 20;
constexpr std::size_t name_digits_of_build = 8;

[[noreturn]] void refuse(std::string const& path, std::string const& why, std::string const& action) {
    throw EngineImageError("engine " + path + " " + why + (action.empty() ? "" : "; " + action));
}

struct stat status_of(std::string const& path) {
    struct stat info {};
    if (stat(path.c_str(), &info) != 0) {
        throw EngineImageError("engine: " + path + ": " + std::generic_category().message(errno));
    }
    return info;
}

// Whoever may write this program may give it an engine, and root (in a user namespace: who has "/"); nobody else.
void require_trusted(std::string const& path, struct stat const& info, bool folder) {
    struct stat const program = status_of("/proc/self/exe");
    auto const trusted = {uid_t{0}, geteuid(), program.st_uid, status_of("/").st_uid};
    if (std::find(trusted.begin(), trusted.end(), info.st_uid) == trusted.end()) {
        refuse(path, "belongs to user " + std::to_string(info.st_uid), "chown root " + path);
    }
    if (folder && (info.st_mode & S_ISVTX) != 0) {
        return;  // others may add files there, not replace ours
    }
    bool const group_of_program = (program.st_mode & S_IWGRP) != 0 && info.st_gid == program.st_gid;
    if ((info.st_mode & S_IWOTH) != 0 || ((info.st_mode & S_IWGRP) != 0 && info.st_gid != 0 && !group_of_program)) {
        refuse(path, "can be written by others", "chmod go-w " + path);
    }
}

std::string copy_of_bytes(int from, int to, std::uint64_t size) {
    std::array<char, 64 * 1024> block{};
    for (std::uint64_t done = 0; done < size;) {
        auto const wanted = static_cast<std::size_t>(std::min<std::uint64_t>(block.size(), size - done));
        ssize_t const length = pread(from, block.data(), wanted, static_cast<off_t>(done));
        if (length <= 0) {
            return length == 0 ? "is cut off" : std::generic_category().message(errno);
        }
        if (pwrite(to, block.data(), static_cast<std::size_t>(length), static_cast<off_t>(done)) != length) {
            return "cannot be copied: " + std::generic_category().message(errno);
        }
        done += static_cast<std::uint64_t>(length);
    }
    return {};
}

// Only what is loaded is copied: debug information is many times as large.
UniqueFd sealed_copy(std::string const& path, int source) {
    std::uint64_t const size = inspect_engine(source).loaded_bytes;
    if (size > most_loaded_bytes) {
        refuse(path, "is larger than an engine", "");
    }
    UniqueFd copy(memfd_create("librettos-engine", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (!copy) {
        refuse(path, "cannot be copied: memfd_create: " + std::generic_category().message(errno), "");
    }
    if (std::string const failure = copy_of_bytes(source, copy.get(), size); !failure.empty()) {
        refuse(path, failure, "");
    }
    if (fcntl(copy.get(), F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) != 0) {
        refuse(path, "cannot be sealed: " + std::generic_category().message(errno), "");
    }
    return copy;
}

// Loaded libraries: "librte_eal" -> "librte_eal.so.23".
using Libraries = std::map<std::string, std::set<std::string>>;

Libraries loaded_libraries() {
    Libraries libraries;
    dl_iterate_phdr(
        [](dl_phdr_info* info, std::size_t, void* result) {
            std::string const name = std::filesystem::path(info->dlpi_name).filename();
            if (auto const end = name.find(".so"); end != std::string::npos) {
                (*static_cast<Libraries*>(result))[name.substr(0, end)].insert(name);
            }
            return 0;
        },
        &libraries);
    return libraries;
}

}  // namespace

EngineImage::EngineImage(std::string const& path) {
    std::error_code unknown;
    std::filesystem::path const real = std::filesystem::canonical(path, unknown);
    UniqueFd const file(unknown ? -1 : open(real.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (!file) {
        refuse(path, "cannot be opened: " + (unknown ? unknown.message() : std::generic_category().message(errno)),
               "install librettos-netserver again");
    }
    struct stat info {};
    if (fstat(file.get(), &info) != 0 || !S_ISREG(info.st_mode)) {
        refuse(real, "is no file", "install librettos-netserver again");
    }
    require_trusted(real, info, false);
    for (auto folder = real.parent_path();; folder = folder.parent_path()) {
        require_trusted(folder, status_of(folder), true);
        if (folder == folder.root_path()) {
            break;
        }
    }
    try {
        fd_ = sealed_copy(real, file.get());
        object_ = inspect_engine(fd_.get());  // of the copy: nobody changes that any more
        if (std::string const why = misfit(object_.contract, own_contract()); !why.empty()) {
            refuse(real, "(" + name() + ") " + why, "systemctl restart librettos-netserver starts both anew");
        }
    } catch (EngineObjectError const& error) {
        refuse(real, error.what(), "install librettos-netserver again");
    }
}

bool EngineImage::same_build(EngineImage const& other) const {
    return object_.version == other.object_.version && object_.build == other.object_.build && !object_.build.empty();
}

std::string EngineImage::name() const {
    return object_.version + (object_.build.empty() ? "" : ", build " + object_.build.substr(0, name_digits_of_build));
}

std::string installed_engine_path() {
    return std::filesystem::read_symlink("/proc/self/exe").parent_path().parent_path() /
           "lib/librettos/librettos-engine.so";
}

EngineEntry load_engine(int fd) {
    Libraries const before = loaded_libraries();
    void* const object = dlopen(("/proc/self/fd/" + std::to_string(fd)).c_str(), RTLD_NOW | RTLD_LOCAL);
    if (object == nullptr) {
        throw EngineImageError(std::string("cannot be loaded: ") + dlerror());
    }
    close(fd);
    for (auto const& [stem, versions] : loaded_libraries()) {
        if (auto const had = before.find(stem); had != before.end() && had->second != versions) {
            throw EngineImageError("cannot be loaded: it needs another " + stem + " than " + *had->second.begin() +
                                   ", which the running holder has");
        }
    }
    auto* const entry = reinterpret_cast<EngineEntry>(dlsym(object, "librettos_engine_run"));
    if (entry == nullptr) {
        throw EngineImageError(std::string("cannot be loaded: ") + dlerror());
    }
    return entry;
}

}  // namespace librettos
