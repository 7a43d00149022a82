// SPDX-License-Identifier: BSD-2-Clause
// Domains, roles and the store as clients see them.
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <set>
#include <utility>
#include <vector>

#include "tests/unit/local/hypervisord_process.hpp"
#include "tests/unit/local/raw_connection.hpp"

namespace librettos::test {

namespace {

using Event = std::pair<std::string, std::string>;

std::string home(lvif_hv* hv) {
    return "/local/domain/" + std::to_string(lvif_hv_self(hv));
}

std::string read(lvif_hv* hv, std::string const& path) {
    std::array<char, LVIF_HV_VALUE_MAX + 1> value;
    int const length = lvif_hv_read(hv, path.c_str(), value.data(), value.size());
    return length >= 0 ? value.data() : "error " + std::to_string(length);
}

int write(lvif_hv* hv, std::string const& path, std::string const& value) {
    return lvif_hv_write(hv, path.c_str(), value.c_str());
}

std::set<Event> take_events(lvif_hv* hv) {
    std::set<Event> events;
    std::array<char, LVIF_HV_PATH_MAX + 1> watched;
    std::array<char, LVIF_HV_PATH_MAX + 1> changed;
    while (lvif_hv_take_event(hv, watched.data(), changed.data()) == 1)
        events.emplace(watched.data(), changed.data());
    return events;
}

// Events come after the request that caused them; waits until `event` is there and returns all until then.
bool gets_event(lvif_hv* hv, Event const& event) {
    return eventually([&] { return take_events(hv).contains(event); });
}

lvif_hv_totals totals(lvif_hv* hv) {
    lvif_hv_totals numbers{};
    EXPECT_EQ(lvif_hv_statistics(hv, &numbers), 0);
    return numbers;
}

}  // namespace

class Domain : public testing::Test {
  protected:
    HypervisordProcess process_;
    int connect_error(lvif_hv_role role, char const* name) {
        lvif_hv* hv = nullptr;
        int const error = lvif_hv_connect(process_.socket().c_str(), role, name, &hv);
        if (error == 0)
            lvif_hv_close(hv);
        return error;
    }
};

TEST_F(Domain, GuestsGetIdsFromOneUpAndNoIdTwice) {
    std::set<std::uint16_t> ids;
    for (int i = 0; i < 20; i++)
        ids.insert(lvif_hv_self(Client{process_, LVIF_HV_GUEST, "web"}));
    EXPECT_EQ(ids.size(), 20u);
    EXPECT_EQ(*ids.begin(), 1);
    EXPECT_EQ(lvif_hv_self(Client{process_, LVIF_HV_SERVER}), 0);
    EXPECT_EQ(lvif_hv_self(Client{process_, LVIF_HV_CONTROL}), 0);
}

TEST_F(Domain, NamesAreUniqueAndWellFormed) {
    Client const web{process_, LVIF_HV_GUEST, "web-1"};
    EXPECT_EQ(read(web, home(web) + "/name"), "web-1");
    EXPECT_EQ(connect_error(LVIF_HV_GUEST, "web-1"), -EEXIST);
    for (std::string const& name : {std::string{}, std::string{"-a"}, std::string{".a"}, std::string{"a/b"},
                                    std::string{"a b"}, std::string{"\xc3\xa4"}, std::string(64, 'a')})
        EXPECT_EQ(connect_error(LVIF_HV_GUEST, name.c_str()), -EINVAL) << name;
    EXPECT_EQ(connect_error(LVIF_HV_GUEST, std::string(63, 'a').c_str()), 0);
    EXPECT_EQ(connect_error(LVIF_HV_GUEST, "9.a_B-c"), 0);
    EXPECT_EQ(connect_error(static_cast<lvif_hv_role>(3), nullptr), -EINVAL);
}

TEST_F(Domain, OneServerAtATimeAndTheNextAtOnce) {
    Client server{process_, LVIF_HV_SERVER};
    EXPECT_EQ(connect_error(LVIF_HV_SERVER, nullptr), -EBUSY);
    for (int i = 0; i < 100; i++) {
        server.close();
        ASSERT_NO_THROW((Client{process_, LVIF_HV_SERVER}));
    }
}

TEST_F(Domain, AGuestComesBackAtOnceUnderItsName) {
    for (int i = 0; i < 100; i++)
        ASSERT_NO_THROW((Client{process_, LVIF_HV_GUEST, "web"})) << i;
}

TEST_F(Domain, TooManyGuests) {
    HypervisordProcess const small{{"--max-domains", "2"}};
    Client const a{small, LVIF_HV_GUEST, "a"};
    Client const b{small, LVIF_HV_GUEST, "b"};
    lvif_hv* hv = nullptr;
    EXPECT_EQ(lvif_hv_connect(small.socket().c_str(), LVIF_HV_GUEST, "c", &hv), -ENOSPC);
    EXPECT_NO_THROW((Client{small, LVIF_HV_SERVER}));
}

// As another user: guest by the group's right, but neither server nor control.
TEST_F(Domain, OtherUsersAreGuestsOnly) {
    if (::geteuid() != 0)
        GTEST_SKIP() << "needs root to become another user";
    HypervisordProcess const open{{"--group", "nogroup"}};
    ASSERT_EQ(::chmod(open.directory().c_str(), 0711), 0);
    pid_t const child = ::fork();
    if (child == 0) {
        lvif_hv* hv = nullptr;
        char const* path = open.socket().c_str();
        bool const unprivileged = ::setresgid(65534, 65534, 65534) == 0 && ::setresuid(65534, 65534, 65534) == 0;
        int result = unprivileged ? 0 : 1;
        result |= lvif_hv_connect(path, LVIF_HV_SERVER, nullptr, &hv) == -EACCES ? 0 : 2;
        result |= lvif_hv_connect(path, LVIF_HV_CONTROL, nullptr, &hv) == -EACCES ? 0 : 4;
        result |= lvif_hv_connect(path, LVIF_HV_GUEST, "guest", &hv) == 0 ? 0 : 8;
        ::_exit(result);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
}

TEST_F(Domain, WithoutAGroupTheSocketIsTheOwnersAlone) {
    struct stat status;
    ASSERT_EQ(::stat(process_.socket().c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 07777u, 0600u);
}

TEST_F(Domain, GuestWritesBelowItsHomeOnly) {
    Client const a{process_, LVIF_HV_GUEST, "a"};
    Client const b{process_, LVIF_HV_GUEST, "b"};
    EXPECT_EQ(write(a, home(a) + "/device/lvif/0/state", "1"), 0);
    EXPECT_EQ(read(a, home(a) + "/device/lvif/0/state"), "1");
    EXPECT_EQ(write(a, home(a) + "/name", "b"), -EACCES);
    EXPECT_EQ(write(a, home(a) + "/name/below", "b"), -EACCES);
    EXPECT_EQ(lvif_hv_remove(a, (home(a) + "/name").c_str()), -EACCES);
    EXPECT_EQ(lvif_hv_remove(a, home(a).c_str()), -EACCES);
    EXPECT_EQ(write(a, home(b) + "/x", "1"), -EACCES);
    EXPECT_EQ(read(a, home(b) + "/name"), "error -13");
    EXPECT_EQ(write(a, "/local/domain/0/x", "1"), -EACCES);
    EXPECT_EQ(write(a, "/x", "1"), -EACCES);
    std::size_t needed = 0;
    EXPECT_EQ(lvif_hv_list(a, "/local/domain", nullptr, 0, &needed), -EACCES);
    EXPECT_EQ(lvif_hv_permit(a, (home(a) + "/device").c_str(), 0, 0), -EPERM);
    EXPECT_EQ(lvif_hv_watch(a, "/local/domain"), -EACCES);
    EXPECT_EQ(lvif_hv_watch(a, (home(b) + "/x").c_str()), -EACCES);
}

TEST_F(Domain, BackendDirectoryIsReadableByPermission) {
    Client const server{process_, LVIF_HV_SERVER};
    Client const a{process_, LVIF_HV_GUEST, "a"};
    Client const b{process_, LVIF_HV_GUEST, "b"};
    std::string const backend = "/local/domain/0/backend/lvif/" + std::to_string(lvif_hv_self(a)) + "/0";
    EXPECT_EQ(read(a, backend + "/state"), "error -13");
    ASSERT_EQ(lvif_hv_permit(server, backend.c_str(), 0, lvif_hv_self(a)), 0);
    ASSERT_EQ(write(server, backend + "/state", "2"), 0);
    EXPECT_EQ(read(a, backend + "/state"), "2");
    EXPECT_EQ(read(a, backend + "/none"), "error -2");
    EXPECT_EQ(write(a, backend + "/state", "4"), -EACCES);
    EXPECT_EQ(read(b, backend + "/state"), "error -13");
    ASSERT_EQ(lvif_hv_watch(a, backend.c_str()), 0);
    EXPECT_TRUE(gets_event(a, {backend, backend}));
    ASSERT_EQ(write(server, backend + "/state", "4"), 0);
    EXPECT_TRUE(gets_event(a, {backend, backend + "/state"}));
    ASSERT_EQ(lvif_hv_remove(server, backend.c_str()), 0);
    EXPECT_TRUE(gets_event(a, {backend, backend})) << "it learns that it is gone";
    EXPECT_EQ(lvif_hv_permit(server, backend.c_str(), 0, 4711), -ENOENT) << "no such domain";
}

TEST_F(Domain, NobodyWritesIntoADomainThatIsNotThere) {
    Client const server{process_, LVIF_HV_SERVER};
    EXPECT_EQ(write(server, "/local/domain/77/device/lvif/0/backend", "x"), -ENOENT);
    EXPECT_EQ(write(server, "/local/domain/00/x", "x"), -ENOENT);
    EXPECT_EQ(write(server, "/local/domain/x", "x"), -EACCES);
    EXPECT_EQ(lvif_hv_permit(server, "/local/domain/77/x", 0, 0), -ENOENT);
    EXPECT_EQ(write(server, "/local/domain", "x"), -EACCES);
    EXPECT_EQ(lvif_hv_remove(server, "/local"), -EACCES);
    EXPECT_EQ(lvif_hv_remove(server, "/none"), -ENOENT);
    EXPECT_EQ(write(server, "no-slash", "x"), -EINVAL);
    EXPECT_EQ(write(server, "/tool/x", std::string(LVIF_HV_VALUE_MAX, 'v')), 0);
    EXPECT_EQ(read(server, "/tool/x"), std::string(LVIF_HV_VALUE_MAX, 'v'));
    EXPECT_EQ(write(server, "/tool/x", std::string(LVIF_HV_VALUE_MAX + 1, 'v')), -EINVAL);
    char small[4];
    EXPECT_EQ(lvif_hv_read(server, "/tool/x", small, sizeof(small)), -EMSGSIZE);
}

TEST_F(Domain, ServerSeesDomainsComeAndGo) {
    Client const server{process_, LVIF_HV_SERVER};
    ASSERT_EQ(lvif_hv_watch(server, "/local/domain"), 0);
    EXPECT_EQ(lvif_hv_watch(server, "/local/domain"), -EEXIST);
    EXPECT_TRUE(gets_event(server, {"/local/domain", "/local/domain"}));
    Client a{process_, LVIF_HV_GUEST, "a"};
    std::string const its_home = home(a);
    EXPECT_TRUE(gets_event(server, {"/local/domain", its_home}));
    EXPECT_EQ(read(server, its_home + "/name"), "a");
    ASSERT_EQ(lvif_hv_watch(server, (its_home + "/device").c_str()), 0);
    EXPECT_TRUE(gets_event(server, {its_home + "/device", its_home + "/device"}));
    ASSERT_EQ(write(a, its_home + "/device/x", "1"), 0);
    EXPECT_TRUE(gets_event(server, {its_home + "/device", its_home + "/device/x"}));
    a.close();
    EXPECT_TRUE(eventually([&] { return read(server, its_home + "/name") == "error -2"; }));
    std::set<Event> const last = take_events(server);
    EXPECT_TRUE(last.contains({"/local/domain", its_home}));
    EXPECT_TRUE(last.contains({its_home + "/device", its_home + "/device"})) << "a watch below is told as well";
    EXPECT_EQ(lvif_hv_unwatch(server, "/local/domain"), 0);
    EXPECT_EQ(lvif_hv_unwatch(server, "/local/domain"), -ENOENT);
}

TEST_F(Domain, ListIsCompleteHoweverLong) {
    Client const server{process_, LVIF_HV_SERVER};
    int const count = 900;  // several packets
    for (int i = 0; i < count; i++)
        ASSERT_EQ(write(server, "/tool/a-name-of-some-length-" + std::to_string(i), ""), 0);
    std::size_t needed = 0;
    EXPECT_EQ(lvif_hv_list(server, "/tool", nullptr, 0, &needed), -EMSGSIZE);
    std::vector<char> names(needed);
    EXPECT_EQ(lvif_hv_list(server, "/tool", names.data(), names.size(), &needed), count);
    std::set<std::string> seen;
    for (char const* at = names.data(); at < names.data() + names.size(); at += std::string{at}.size() + 1)
        seen.insert(at);
    EXPECT_EQ(seen.size(), static_cast<std::size_t>(count));
    EXPECT_EQ(lvif_hv_list(server, "/none", nullptr, 0, &needed), -ENOENT);
}

TEST_F(Domain, GuestsQuotasHold) {
    Client const a{process_, LVIF_HV_GUEST, "a"};
    int written = 0;
    while (written < 5000 && write(a, home(a) + "/n" + std::to_string(written), "x") == 0)
        written++;
    EXPECT_GT(written, 500);
    EXPECT_LT(written, 1100);
    EXPECT_EQ(write(a, home(a) + "/more", "x"), -EDQUOT);
    int watched = 0;
    while (watched < 5000 && lvif_hv_watch(a, (home(a) + "/w" + std::to_string(watched)).c_str()) == 0)
        watched++;
    EXPECT_EQ(watched, 64);
    Client const b{process_, LVIF_HV_GUEST, "b"};
    EXPECT_EQ(write(b, home(b) + "/n", "x"), 0);
}

// A client that watches a busy directory and never looks costs hypervisord a bounded queue, and misses nothing in the
// end.
TEST_F(Domain, SlowReadersOfEventsCostNothing) {
    Client const server{process_, LVIF_HV_SERVER};
    Client const control{process_, LVIF_HV_CONTROL};
    ASSERT_EQ(lvif_hv_watch(control, "/tool"), 0);
    std::size_t resident = 0;
    for (int i = 0; i < 30'000; i++) {
        ASSERT_EQ(write(server, "/tool/" + std::to_string(i % 1000), "x"), 0);
        if (i == 2000)
            resident = process_.resident_kib();
    }
    EXPECT_LE(totals(server).queued_events, 40u);
    if (HypervisordProcess::reuses_memory) {
        EXPECT_LE(process_.resident_kib(), resident + 1024);
    }
    ASSERT_EQ(write(server, "/tool/last", "x"), 0);
    EXPECT_TRUE(eventually([&] {
        std::set<Event> const events = take_events(control);
        return events.contains({"/tool", "/tool"}) || events.contains({"/tool", "/tool/last"});
    }));
}

TEST_F(Domain, EventsDoNotStandInTheWayOfReplies) {
    Client const server{process_, LVIF_HV_SERVER};
    ASSERT_EQ(lvif_hv_watch(server, "/tool"), 0);
    for (int i = 0; i < 2000; i++)
        ASSERT_EQ(write(server, "/tool/" + std::to_string(i), "x"), 0);
    pollfd readable{lvif_hv_fd(server), POLLIN, 0};
    EXPECT_EQ(::poll(&readable, 1, 5000), 1);
}

TEST_F(Domain, EndOfHypervisordIsTold) {
    Client const a{process_, LVIF_HV_GUEST, "a"};
    process_.stop(SIGKILL);
    pollfd readable{lvif_hv_fd(a), POLLIN, 0};
    EXPECT_EQ(::poll(&readable, 1, 5000), 1);
    std::array<char, LVIF_HV_PATH_MAX + 1> watched;
    std::array<char, LVIF_HV_PATH_MAX + 1> changed;
    EXPECT_EQ(lvif_hv_take_event(a, watched.data(), changed.data()), -ECONNRESET);
    EXPECT_EQ(write(a, home(a) + "/x", "1"), -ECONNRESET);
    EXPECT_EQ(write(a, home(a) + "/x", "1"), -ECONNRESET);
}

}  // namespace librettos::test
