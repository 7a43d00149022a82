// SPDX-License-Identifier: BSD-2-Clause
// Engines that are installed while one runs: taken at a reload, refused, or given up again.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <string>
#include <utility>

#include "daemon/holder/engine_image.hpp"
#include "tests/unit/holder/engine_file.hpp"
#include "tests/unit/holder/running_holder.hpp"
#include "tests/unit/temporary_folder.hpp"

namespace librettos {
namespace {

using ::testing::HasSubstr;

class Upgrade : public ::testing::Test {
  protected:
    Upgrade() { install_engine(path, engine); }

    RunningHolder::Setting setting() const { return {.object = path}; }

    static void reload(RunningHolder& holder) {
        holder.forget_notices();
        auto const generation = holder.generation();
        kill(holder.pid(), SIGHUP);
        holder.await_generation(generation + 1);
        holder.await_notice("READY=1");
    }

    // Why the file is not taken.
    std::string refusal() const {
        try {
            EngineImage const image(path);
            return "taken";
        } catch (EngineImageError const& error) {
            return error.what();
        }
    }

    test::TemporaryFolder home;
    std::string const folder = home.path();
    std::string path = home.file("engine.so");
    std::string const engine = bytes_of(ENGINE);
    std::string const crashing = bytes_of(CRASHING_ENGINE);
};

TEST_F(Upgrade, AnotherBuildRunsAfterAReload) {
    RunningHolder holder(setting());
    holder.await_notice("READY=1");
    install_engine(path, with_version(engine, "next"));
    reload(holder);
    EXPECT_THAT(holder.log(), HasSubstr("the next engine is next, build "));
    EXPECT_EQ(holder.generation(), 2U) << "and no other one in between";
}

TEST_F(Upgrade, OnlyAReloadTakesAnother) {
    RunningHolder holder(setting());
    holder.await_notice("READY=1");
    install_engine(path, with_version(engine, "next"));
    kill(holder.engine(), SIGKILL);
    holder.await_log("engine 2 is ready");
    EXPECT_THAT(holder.log(), Not(HasSubstr("the next engine is")));
}

// cp over the file, as nobody should: the engine that runs and its successors have the bytes that were there.
TEST_F(Upgrade, AFileThatIsOverwrittenOrGoneHurtsNobody) {
    RunningHolder holder(setting());
    holder.await_notice("READY=1");
    std::ofstream(path, std::ios::binary | std::ios::trunc) << "half of an eng";
    pid_t const first = holder.engine();
    holder.await("some turns", [&, from = holder.stats().thread[0].turns.load()] {
        return holder.stats().thread[0].turns.load() > from + 10;
    });
    EXPECT_EQ(holder.engine(), first);
    std::filesystem::remove(path);
    kill(first, SIGKILL);
    holder.await_log("engine 2 is ready");
}

TEST_F(Upgrade, WhatIsNoneIsRefusedAndTheOldOneGoesOn) {
    RunningHolder holder(setting());
    holder.await_notice("READY=1");
    install_engine(path, "garbage");
    reload(holder);
    holder.await_log("is no shared object; install librettos-netserver again; going on with");
    install_engine(path, with_contract(engine, engine_contract_number + 1));
    reload(holder);
    holder.await_log("; systemctl restart librettos-netserver starts both anew; going on with");
    std::filesystem::remove(path);
    reload(holder);
    holder.await_log("cannot be opened: No such file or directory");
    EXPECT_EQ(holder.generation(), 4U) << "the reloads of the configuration";
}

TEST_F(Upgrade, OneThatDiesAtItsStartIsGivenUp) {
    RunningHolder holder(setting());
    holder.await_notice("READY=1");
    install_engine(path, crashing);
    kill(holder.pid(), SIGHUP);
    holder.await_log("going back to");
    holder.await_log("engine 3 is ready");
    kill(holder.engine(), SIGKILL);
    holder.await_log("engine 4 is ready");
    install_engine(path, with_version(engine, "mended"));
    reload(holder);
    EXPECT_THAT(holder.log(), HasSubstr("the next engine is mended"));
}

TEST_F(Upgrade, OneThatCannotBeLoadedIsGivenUp) {
    // Without the one function that is called.
    std::string nameless = with_version(engine, "nameless");
    for (auto at = nameless.find("librettos_engine_run"); at != std::string::npos;
         at = nameless.find("librettos_engine_run", at)) {
        nameless[at] = 'x';
    }
    RunningHolder holder(setting());
    holder.await_notice("READY=1");
    install_engine(path, nameless);
    kill(holder.pid(), SIGHUP);
    holder.await_log("cannot be loaded: ");
    holder.await_log("engine 3 is ready");
}

TEST_F(Upgrade, KillingAGoodOneGivesNothingUp) {
    RunningHolder holder(setting());
    holder.await_notice("READY=1");
    install_engine(path, with_version(engine, "next"));
    reload(holder);
    holder.await_log("engine 2 is ready");
    kill(holder.engine(), SIGKILL);
    holder.await_log("engine 3 is ready");
    EXPECT_THAT(holder.log(), Not(HasSubstr("going back")));
}

TEST_F(Upgrade, AHolderDoesNotStartWithoutAnEngine) {
    install_engine(path, engine.substr(0, 5000));
    RunningHolder holder(setting());
    EXPECT_EQ(WEXITSTATUS(holder.await_end()), 1);
    EXPECT_THAT(holder.log(), HasSubstr("engine " + path + " is cut off; install librettos-netserver again"));
}

TEST_F(Upgrade, EveryShorterFileIsRefused) {
    EXPECT_EQ(refusal(), "taken");
    auto const whole = EngineImage(path).object().loaded_bytes;
    ASSERT_LT(whole, engine.size()) << "debug information and symbols follow";
    for (std::size_t size = 0; size < whole; size += size < 1000 ? 7 : whole / 50) {
        install_engine(path, engine.substr(0, size));
        EXPECT_NE(refusal(), "taken") << size;
    }
    install_engine(path, engine.substr(0, whole));
    EXPECT_EQ(refusal(), "taken") << "what is loaded is all there";
}

TEST_F(Upgrade, AnyByteOfTheHeadersMayBeWrong) {
    for (std::size_t at = 0; at < 64 + 12 * 56; ++at) {
        std::string spoiled = engine;
        spoiled[at] = static_cast<char>(~spoiled[at]);
        install_engine(path, spoiled);
        refusal();  // one or the other; never out of bounds
    }
}

TEST_F(Upgrade, SaysWhatDoesNotFit) {
    auto const other = [&](auto const& change) {
        install_engine(path, with_note(engine, [&](EngineNote::Body& body) { change(body.contract); }));
        return refusal();
    };
    EXPECT_THAT(other([](EngineContract& contract) { contract.dpdk = note_text<8>("9.11"); }),
                HasSubstr("was built for DPDK 9.11, the running holder for "));
    EXPECT_THAT(other([](EngineContract& contract) { ++contract.boot_bytes; }), HasSubstr("was built otherwise"));
    EXPECT_THAT(other([](EngineContract& contract) { ++contract.counters; }), HasSubstr("was built otherwise"));
    install_engine(path, bytes_of("/proc/self/exe"));
    EXPECT_THAT(refusal(), HasSubstr("is no engine of librettos-netserver"));
}

TEST_F(Upgrade, NotFromWhereOthersWrite) {
    namespace fs = std::filesystem;
    fs::permissions(path, fs::perms(0666));
    EXPECT_THAT(refusal(), HasSubstr(path + " can be written by others; chmod go-w " + path));
    fs::permissions(path, fs::perms(0644));
    fs::permissions(folder, fs::perms(0777));
    EXPECT_THAT(refusal(), HasSubstr("engine " + folder + " can be written by others"));
    // Behind a link, too.
    std::string const link = folder + "-link";
    fs::create_symlink(path, link);
    std::string const file = std::exchange(path, link);
    EXPECT_THAT(refusal(), HasSubstr("engine " + folder + " can be written by others"));
    fs::remove(link);
    path = file;
    fs::permissions(folder, fs::perms(01777));
    EXPECT_EQ(refusal(), "taken") << "nobody can replace the file there";
    fs::permissions(folder, fs::perms(0700));
    if (geteuid() == 0) {
        ASSERT_EQ(chown(path.c_str(), 12345, 0), 0);
        EXPECT_THAT(refusal(), HasSubstr("belongs to user 12345"));
    }
}

}  // namespace
}  // namespace librettos
