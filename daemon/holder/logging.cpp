// SPDX-License-Identifier: BSD-2-Clause
// spdlog set-up.
#include "daemon/holder/logging.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

namespace librettos {
namespace {

// JOURNAL_STREAM is "device:inode" of the stream that journald reads; ours may have been redirected since.
bool stderr_is_the_journal() {
    char const* const journal = std::getenv("JOURNAL_STREAM");
    struct stat info {};
    return journal != nullptr && fstat(STDERR_FILENO, &info) == 0 &&
           std::to_string(info.st_dev) + ":" + std::to_string(info.st_ino) == journal;
}

// "<3>" and the like, sd-daemon(3).
class SyslogPriority : public spdlog::custom_flag_formatter {
  public:
    void format(spdlog::details::log_msg const& message, std::tm const&, spdlog::memory_buf_t& out) override {
        constexpr char digits[] = {'7', '7', '6', '4', '3', '2', '7'};  // by spdlog's level
        out.push_back('<');
        out.push_back(digits[message.level]);
        out.push_back('>');
    }
    std::unique_ptr<custom_flag_formatter> clone() const override { return std::make_unique<SyslogPriority>(); }
};

}  // namespace

void set_up_logging(std::string const& level, std::string const& role) {
    auto logger =
        std::make_shared<spdlog::logger>("librettos", std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
    std::string const prefix = role.empty() ? "" : role + ": ";
    auto formatter = std::make_unique<spdlog::pattern_formatter>();
    if (stderr_is_the_journal()) {
        formatter->add_flag<SyslogPriority>('P').set_pattern("%P" + prefix + "%v");
    } else {
        formatter->set_pattern("%Y-%m-%d %H:%M:%S.%e %^%l%$ " + prefix + "%v");
    }
    logger->set_formatter(std::move(formatter));
    logger->set_level(spdlog::level::from_str(level));
    logger->flush_on(spdlog::level::trace);
    spdlog::set_default_logger(std::move(logger));
}

}  // namespace librettos
