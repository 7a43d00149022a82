// SPDX-License-Identifier: BSD-2-Clause
// A librettos-hypervisord of the test's own: in a directory of its own, gone with the object.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "hypervisord_client.h"
#include "tests/unit/eventually.hpp"
#include "tests/unit/temporary_folder.hpp"

namespace librettos::test {

class HypervisordProcess {
  public:
    // Started, and answering. Throws std::runtime_error when it does not come up.
    // `directory`: use this one, of another, instead of a new one.
    explicit HypervisordProcess(std::vector<std::string> options = {}, std::string directory = {});
    ~HypervisordProcess();
    HypervisordProcess(HypervisordProcess const&) = delete;
    HypervisordProcess& operator=(HypervisordProcess const&) = delete;

    std::string const& socket() const { return socket_; }
    std::string const& directory() const { return directory_; }
    pid_t pid() const { return pid_; }
    // Sends the signal and waits for the end; the exit status as waitpid gives it.
    int stop(int signal);
    std::size_t open_fds() const;
    std::size_t resident_kib() const;
    static bool const reuses_memory;  // false: a sanitizer keeps what was freed

  private:
    std::optional<TemporaryFolder> own_directory_;
    std::string directory_;
    std::string socket_;
    pid_t pid_ = -1;
};

// Runs the program and returns its exit status as waitpid gives it.
int run_hypervisord(std::vector<std::string> const& options);

// A connection that ends with its scope.
class Client {
  public:
    Client(HypervisordProcess const& process, lvif_hv_role role, char const* name = nullptr);
    ~Client() { close(); }
    Client(Client&& other) noexcept : hv_{other.hv_} { other.hv_ = nullptr; }
    Client& operator=(Client&&) = delete;
    operator lvif_hv*() const { return hv_; }  // NOLINT: stands for it in every call
    void close();

  private:
    lvif_hv* hv_ = nullptr;
};

}  // namespace librettos::test
