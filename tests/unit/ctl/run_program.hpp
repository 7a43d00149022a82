// SPDX-License-Identifier: BSD-2-Clause
// Runs librettosctl as a user does and collects what it prints.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "tests/unit/temporary_folder.hpp"

namespace librettos::test {

struct Output {
    int status = -1;  // exit status; 128 + signal
    std::string out;
    std::string err;
};

// A run that may still be going on.
class Program {
  public:
    explicit Program(std::vector<std::string> arguments) {
        arguments.insert(arguments.begin(), LIBRETTOSCTL);
        std::array<int, 2> out{};
        std::array<int, 2> err{};
        if (pipe2(out.data(), O_CLOEXEC) != 0 || pipe2(err.data(), O_CLOEXEC) != 0)
            throw std::runtime_error("pipe2");
        pid_ = fork();
        if (pid_ == 0) {
            dup2(out[1], STDOUT_FILENO);
            dup2(err[1], STDERR_FILENO);
            std::vector<char*> argv;
            for (auto& argument : arguments)
                argv.push_back(argument.data());
            argv.push_back(nullptr);
            execv(argv[0], argv.data());
            _exit(127);
        }
        close(out[1]);
        close(err[1]);
        out_ = out[0];
        err_ = err[0];
    }
    ~Program() {
        if (pid_ > 0) {
            kill(pid_, SIGKILL);
            waitpid(pid_, nullptr, 0);
        }
        close(out_);
        close(err_);
    }
    Program(Program const&) = delete;
    Program& operator=(Program const&) = delete;

    void signal(int number) const { kill(pid_, number); }

    // Reads until the text came `times` times, or the end.
    void read_until(std::string const& text, int times) {
        while (count(text) < times && read_some()) {
        }
    }

    Output finish() {
        while (read_some()) {
        }
        int status = 0;
        waitpid(std::exchange(pid_, -1), &status, 0);
        output_.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        return output_;
    }

  private:
    int count(std::string const& text) const {
        int found = 0;
        for (auto at = output_.out.find(text); at != std::string::npos; at = output_.out.find(text, at + 1))
            ++found;
        return found;
    }

    bool read_some() {
        std::array<pollfd, 2> entries{{{out_open_ ? out_ : -1, POLLIN, 0}, {err_open_ ? err_ : -1, POLLIN, 0}}};
        if (!out_open_ && !err_open_)
            return false;
        poll(entries.data(), entries.size(), -1);
        if (entries[0].revents != 0)
            out_open_ = append(out_, output_.out);
        if (entries[1].revents != 0)
            err_open_ = append(err_, output_.err);
        return true;
    }

    static bool append(int fd, std::string& text) {
        std::array<char, 4096> chunk;
        auto const bytes = read(fd, chunk.data(), chunk.size());
        if (bytes > 0)
            text.append(chunk.data(), static_cast<std::size_t>(bytes));
        return bytes > 0;
    }

    pid_t pid_ = -1;
    int out_ = -1;
    int err_ = -1;
    bool out_open_ = true;
    bool err_open_ = true;
    Output output_;
};

inline Output run_ctl(std::vector<std::string> arguments) {
    return Program{std::move(arguments)}.finish();
}

// The words of a line of a table.
inline std::vector<std::string> words(std::string const& line) {
    std::istringstream stream{line};
    std::vector<std::string> list;
    for (std::string word; stream >> word;)
        list.push_back(word);
    return list;
}

inline std::vector<std::string> lines(std::string const& text) {
    std::istringstream stream{text};
    std::vector<std::string> list;
    for (std::string line; std::getline(stream, line);)
        list.push_back(line);
    return list;
}

// The first line that begins with `start`; empty when there is none.
inline std::string line_with(std::string const& text, std::string const& start) {
    for (auto const& line : lines(text))
        if (line.starts_with(start))
            return line;
    return {};
}

}  // namespace librettos::test
