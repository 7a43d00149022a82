// SPDX-License-Identifier: BSD-2-Clause
#include "guest-frontend/linux/bind_calls.hpp"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/kcmp.h>
#include <linux/nsfs.h>
#include <netinet/in.h>
#include <spdlog/spdlog.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <optional>
#include <string>

#include "guest-frontend/linux/addresses.hpp"
#include "guest-frontend/linux/sysctl.hpp"

namespace librettos::guest {

namespace {

constexpr int i386_socketcall = 102;       // arch/x86/entry/syscalls/syscall_32.tbl
constexpr unsigned pidfd_thread = O_EXCL;  // PIDFD_THREAD, Linux 6.9
constexpr int ipproto_mptcp = 262;

struct BindArguments {
    int socket;
    std::uint64_t address;
    std::uint32_t length;
};

bool read_memory(pid_t task, std::uint64_t address, void* to, std::size_t length) {
    iovec const local{to, length};
    iovec const remote{reinterpret_cast<void*>(static_cast<std::uintptr_t>(address)), length};
    return process_vm_readv(task, &local, 1, &remote, 1, 0) == static_cast<ssize_t>(length);
}

std::optional<BindArguments> arguments_of(seccomp_notif const& call) {
    auto const& args = call.data.args;
    if (call.data.arch == AUDIT_ARCH_I386 && call.data.nr == i386_socketcall) {
        std::array<std::uint32_t, 3> packed{};
        if (!read_memory(static_cast<pid_t>(call.pid), args[1], packed.data(), sizeof packed)) {
            return std::nullopt;
        }
        return BindArguments{static_cast<int>(packed[0]), packed[1], packed[2]};
    }
    return BindArguments{static_cast<int>(args[0]), args[1], static_cast<std::uint32_t>(args[2])};
}

std::string status_field(pid_t task, std::string_view field) {
    std::string const path = "/proc/" + std::to_string(task) + "/status";
    Descriptor const file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    std::array<char, 8192> text{};
    ssize_t const length = file ? read(file.get(), text.data(), text.size()) : 0;
    std::string_view const status(text.data(), length > 0 ? static_cast<std::size_t>(length) : 0);
    std::string const key = "\n" + std::string(field) + ":\t";
    std::size_t const start = status.find(key);
    if (start == std::string_view::npos) {
        return {};
    }
    std::string_view const value = status.substr(start + key.size());
    return std::string(value.substr(0, value.find('\n')));
}

// The caller's socket in our table. Empty when it is gone or cannot be had.
Descriptor duplicate(pid_t task, int socket) {
    Descriptor process(static_cast<int>(syscall(SYS_pidfd_open, task, pidfd_thread)));
    if (!process && errno == EINVAL) {  // an older kernel: processes only, so the thread must share its table
        std::string const group = status_field(task, "Tgid");
        pid_t leader = 0;
        std::from_chars(group.data(), group.data() + group.size(), leader);
        if (leader != task && syscall(SYS_kcmp, task, leader, KCMP_FILES, 0, 0) != 0) {
            return {};
        }
        process.reset(static_cast<int>(syscall(SYS_pidfd_open, leader, 0)));
    }
    return process ? Descriptor(static_cast<int>(syscall(SYS_pidfd_getfd, process.get(), socket, 0))) : Descriptor();
}

template <typename Value>
std::optional<Value> socket_option(int socket, int option) {
    Value value{};
    socklen_t length = sizeof value;
    if (getsockopt(socket, SOL_SOCKET, option, &value, &length) < 0 || length != sizeof value) {
        return std::nullopt;
    }
    return value;
}

std::optional<Protocol> protocol_of(int socket) {
    auto const type = socket_option<int>(socket, SO_TYPE);
    auto const protocol = socket_option<int>(socket, SO_PROTOCOL);
    if (type == SOCK_STREAM && (protocol == IPPROTO_TCP || protocol == ipproto_mptcp)) {
        return Protocol::tcp;
    }
    if (type == SOCK_DGRAM && protocol == IPPROTO_UDP) {
        return Protocol::udp;
    }
    return std::nullopt;
}

struct Endpoint {
    std::uint16_t port;
    bool loopback;
};

// By the kernel's rules (inet_bind, inet6_bind). Empty: the kernel would refuse it, or the socket is not IPv4 or IPv6.
std::optional<Endpoint> endpoint_of(int domain, sockaddr_storage const& address, socklen_t length) {
    if (domain == AF_INET && length >= sizeof(sockaddr_in)) {
        auto const& in = reinterpret_cast<sockaddr_in const&>(address);
        if (in.sin_family == AF_INET || (in.sin_family == AF_UNSPEC && in.sin_addr.s_addr == INADDR_ANY)) {
            return Endpoint{ntohs(in.sin_port), is_loopback4(&in.sin_addr)};
        }
    }
    if (domain == AF_INET6 && length >= offsetof(sockaddr_in6, sin6_scope_id) && address.ss_family == AF_INET6) {
        auto const& in6 = reinterpret_cast<sockaddr_in6 const&>(address);
        return Endpoint{ntohs(in6.sin6_port), is_loopback6(&in6.sin6_addr)};
    }
    return std::nullopt;
}

std::optional<std::pair<dev_t, ino_t>> namespace_id(std::string const& path) {
    struct stat status {};
    if (stat(path.c_str(), &status) < 0) {
        return std::nullopt;
    }
    return std::pair{status.st_dev, status.st_ino};
}

std::uint64_t own_network_cookie() {
    Descriptor const socket = checked_descriptor(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "open a socket");
    auto const cookie = socket_option<std::uint64_t>(socket.get(), SO_NETNS_COOKIE);
    if (!cookie) {
        throw_errno(errno, "ask for the network namespace's cookie (needs Linux 5.14)");
    }
    return *cookie;
}

}  // namespace

BindCalls::BindCalls(Descriptor listener, PortClaims& claims)
    : listener_(std::move(listener)), claims_(claims), network_cookie_(own_network_cookie()) {
    seccomp_notif_sizes sizes{};
    if (syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes) < 0) {
        throw_errno(errno, "ask for the sizes of seccomp notifications");
    }
    call_.resize(std::max<std::size_t>(sizes.seccomp_notif, sizeof(seccomp_notif)));
    response_.resize(std::max<std::size_t>(sizes.seccomp_notif_resp, sizeof(seccomp_notif_resp)));

    if (auto const own = namespace_id("/proc/thread-self/ns/user")) {
        privileged_users_.push_back(*own);
    }
    Descriptor const network =
        checked_descriptor(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC), "open /proc/thread-self/ns/net");
    Descriptor const owner(ioctl(network.get(), NS_GET_USERNS));
    struct stat status {};
    if (owner && fstat(owner.get(), &status) == 0) {
        privileged_users_.emplace_back(status.st_dev, status.st_ino);
    }
}

void BindCalls::serve() {
    std::fill(call_.begin(), call_.end(), std::byte{0});  // the kernel insists
    auto* call = reinterpret_cast<seccomp_notif*>(call_.data());
    if (ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_RECV, call) < 0) {
        if (errno == ENOENT || errno == EINTR) {
            return;  // the caller was killed before we came
        }
        throw_errno(errno, "receive a seccomp notification");
    }
    Answer result{true, 0};
    try {
        result = answer(*call);
    } catch (std::exception const& error) {  // the caller must not wait for ever
        spdlog::error("bind: {}", error.what());
    }
    std::fill(response_.begin(), response_.end(), std::byte{0});
    auto* response = reinterpret_cast<seccomp_notif_resp*>(response_.data());
    response->id = call->id;
    response->error = -result.error;
    response->flags = result.let_through ? SECCOMP_USER_NOTIF_FLAG_CONTINUE : 0;
    if (ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_SEND, response) < 0 && errno != ENOENT) {
        throw_errno(errno, "answer a seccomp notification");
    }
}

BindCalls::Answer BindCalls::answer(seccomp_notif const& call) {
    constexpr Answer let_through{true, 0};
    auto const caller = static_cast<pid_t>(call.pid);
    auto const arguments = arguments_of(call);
    sockaddr_storage address{};
    if (!arguments || arguments->length < sizeof(sa_family_t) || arguments->length > sizeof address ||
        !read_memory(caller, arguments->address, &address, arguments->length)) {
        return let_through;
    }
    if (address.ss_family != AF_INET && address.ss_family != AF_INET6 && address.ss_family != AF_UNSPEC) {
        return let_through;
    }
    Descriptor const socket = duplicate(caller, arguments->socket);
    if (!socket || !still_waits(call.id)) {
        return let_through;
    }
    return bind_for(caller, socket.get(), address, arguments->length);
}

BindCalls::Answer BindCalls::bind_for(pid_t caller, int socket, sockaddr_storage const& address, socklen_t length) {
    constexpr Answer let_through{true, 0};
    auto const domain = socket_option<int>(socket, SO_DOMAIN);
    auto const protocol = protocol_of(socket);
    if (!domain || !protocol || socket_option<std::uint64_t>(socket, SO_NETNS_COOKIE) != network_cookie_) {
        return let_through;
    }
    auto const endpoint = endpoint_of(*domain, address, length);
    if (!endpoint) {
        return let_through;
    }
    if (!may_bind(caller, endpoint->port)) {
        return {false, EACCES};
    }
    PortClaims::Outcome claim{0, false};
    if (endpoint->port != 0 && !endpoint->loopback) {
        claim = claims_.claim(*protocol, endpoint->port);
        if (claim.error != 0) {
            return {false, claim.error};
        }
    }
    auto const bind_it = [&] {
        return bind(socket, reinterpret_cast<sockaddr const*>(&address), length) == 0 ? 0 : errno;
    };
    int error = bind_it();
    if (error == EADDRINUSE && endpoint->port == 0 && claims_.lease_more()) {
        error = bind_it();
    }
    if (error != 0 && claim.fresh) {
        claims_.give_back(*protocol, endpoint->port);
    }
    return {false, error};
}

// The kernel's rule (inet_port_requires_bind_service and ns_capable), for the caller instead of ourselves.
bool BindCalls::may_bind(pid_t caller, std::uint16_t port) const {
    if (port == 0 || port >= std::stoul(read_sysctl("net/ipv4/ip_unprivileged_port_start"))) {
        return true;
    }
    auto const users = namespace_id("/proc/" + std::to_string(caller) + "/ns/user");
    if (!users || std::find(privileged_users_.begin(), privileged_users_.end(), *users) == privileged_users_.end()) {
        return false;
    }
    std::string const effective = status_field(caller, "CapEff");
    std::uint64_t capabilities = 0;
    std::from_chars(effective.data(), effective.data() + effective.size(), capabilities, 16);
    return (capabilities >> CAP_NET_BIND_SERVICE & 1) != 0;
}

bool BindCalls::still_waits(std::uint64_t id) const {
    return ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_ID_VALID, &id) == 0;
}

}  // namespace librettos::guest
