// SPDX-License-Identifier: BSD-2-Clause
// A holder_under_test in a directory of its own, with this process as its systemd.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>
#include <stdexcept>
#include <string>

#include "daemon/api/stats_file.hpp"
#include "tests/unit/eventually.hpp"
#include "tests/unit/temporary_folder.hpp"

namespace librettos {

class RunningHolder {
  public:
    struct Setting {
        std::string engine{};  // words for LIBRETTOS_TEST_ENGINE
        std::string device = "net_null0";
        std::string object = ENGINE;
        std::chrono::milliseconds watchdog{0};
        bool starts = true;  // at once
    };

    explicit RunningHolder(Setting setting) : setting_(std::move(setting)) {
        write_config("");
        prctl(PR_SET_CHILD_SUBREAPER, 1);  // an engine that outlived its holder would come to us
        open_notify_socket();
        if (setting_.starts) {
            start();
        }
    }

    ~RunningHolder() {
        if (pid_ > 0) {
            kill(pid_, SIGKILL);
            waitpid(pid_, nullptr, 0);
        }
        while (waitpid(-1, nullptr, WNOHANG) > 0) {
        }
        forget_stats();
        close(notify_);
    }
    RunningHolder(RunningHolder const&) = delete;
    RunningHolder& operator=(RunningHolder const&) = delete;

    void start() {
        pid_ = fork();
        if (pid_ == 0) {
            run();
        }
        forget_stats();
    }

    // In a child: becomes the holder.
    [[noreturn]] void run() const {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        setenv("LIBRETTOS_TEST_ENGINE", setting_.engine.c_str(), 1);
        setenv("LIBRETTOS_TEST_ENGINE_OUT", path("answer").c_str(), 1);
        setenv("NOTIFY_SOCKET", path("notify").c_str(), 1);
        if (setting_.watchdog.count() > 0) {
            setenv("WATCHDOG_USEC", std::to_string(setting_.watchdog.count() * 1000).c_str(), 1);
        }
        int const log_fd = open(path("log").c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
        dup2(log_fd, STDERR_FILENO);
        std::string const config = path("toml");
        execl(HOLDER, "librettos-netserver", "--config", config.c_str(), "--engine", setting_.object.c_str(), nullptr);
        _exit(127);
    }

    void write_config(std::string const& more) const {
        std::ofstream(path("toml")) << "[port]\ndevice = \"" << setting_.device
                                    << "\"\nmemory_mib = 64\nbuffers = 4096\ndescriptors = 256\n[network]\nipv4 = "
                                       "\"192.0.2.10/24\"\n[paths]\nstats = \""
                                    << path("run/stats") << "\"\napi_socket = \"" << path("run/api") << "\"\n"
                                    << more;
    }

    pid_t pid() const { return pid_; }
    std::string path(std::string const& name) const { return directory_.file(name); }

    // What a reader of the statistics file sees; waits for the file of the living holder.
    StatsHeader const& stats() {
        await("statistics file", [&] {
            if (stats_ == nullptr) {
                int const fd = open(path("run/stats").c_str(), O_RDONLY);
                if (fd >= 0) {
                    void* const mapped = mmap(nullptr, sizeof(StatsHeader), PROT_READ, MAP_SHARED, fd, 0);
                    close(fd);
                    stats_ = static_cast<StatsHeader const*>(mapped);
                }
            }
            if (stats_ != nullptr && stats_->holder_pid.load() != static_cast<std::uint64_t>(pid_)) {
                forget_stats();  // a killed holder's
            }
            return stats_ != nullptr;
        });
        return *stats_;
    }

    std::uint64_t generation() { return stats().engine_generation.load(); }
    pid_t engine() { return static_cast<pid_t>(stats().engine_pid.load()); }
    void await_generation(std::uint64_t number) {
        await("engine " + std::to_string(number), [&] { return generation() >= number && engine() > 0; });
    }

    // True when a notification that holds `text` has come, now or before.
    bool notified(std::string const& text) {
        char buffer[4096];
        for (ssize_t n = 0; (n = recv(notify_, buffer, sizeof buffer, MSG_DONTWAIT)) > 0;) {
            notices_ += std::string(buffer, static_cast<std::size_t>(n)) + "\n";
        }
        return notices_.find(text) != std::string::npos;
    }
    void await_notice(std::string const& text) {
        await("notice " + text, [&] { return notified(text); });
    }
    void forget_notices() {
        notified("");
        notices_.clear();
    }

    std::string log() const {
        std::ostringstream text;
        text << std::ifstream(path("log")).rdbuf();
        return text.str();
    }
    void await_log(std::string const& text) {
        await("log line " + text, [&] { return log().find(text) != std::string::npos; });
    }

    // Like systemd, takes notifications all the while: an unread socket would fill and block the holder.
    void await(std::string const& what, std::function<bool()> const& condition) {
        bool const seen = eventually([&] {
            notified("");
            return condition();
        });
        if (!seen) {
            throw std::runtime_error("for long not: " + what + "; log:\n" + log());
        }
    }

    // The holder's wait status.
    int await_end() {
        int status = -1;
        await("end of the holder", [&] { return waitpid(pid_, &status, WNOHANG) == pid_; });
        pid_ = -1;
        return status;
    }

  private:
    void forget_stats() {
        if (stats_ != nullptr) {
            munmap(const_cast<StatsHeader*>(stats_), sizeof(StatsHeader));
            stats_ = nullptr;
        }
    }

    void open_notify_socket() {
        notify_ = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        path("notify").copy(address.sun_path, sizeof(address.sun_path) - 1);
        if (notify_ < 0 || bind(notify_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
            throw std::runtime_error("notify socket");
        }
    }

    Setting setting_;
    test::TemporaryFolder directory_;
    pid_t pid_ = -1;
    int notify_ = -1;
    std::string notices_;
    StatsHeader const* stats_ = nullptr;
};

}  // namespace librettos
