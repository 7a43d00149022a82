// SPDX-License-Identifier: BSD-2-Clause
// Answers to bus requests.
#include "tests/nic82599/sessions.hpp"

#include <sys/mman.h>
#include <sys/un.h>

#include <cerrno>
#include <system_error>
#include <thread>

#include "tests/nic82599/bus_socket.hpp"

namespace nic82599 {

void Sessions::serve(std::string const& socket_path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    int const listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    bool const fits = socket_path.size() < sizeof address.sun_path;
    socket_path.copy(address.sun_path, sizeof address.sun_path - 1);
    if (!fits || listener < 0 || bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
        listen(listener, 16) != 0) {
        throw std::system_error(fits ? errno : ENAMETOOLONG, std::generic_category(),
                                "cannot listen on " + socket_path);
    }
    std::thread([this, listener] { accept_for_ever(listener); }).detach();
}

void Sessions::accept_for_ever(int listener) {
    for (;;) {
        int const session = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
        if (session >= 0) {
            std::thread([this, session] { run(session); }).detach();
        }
    }
}

void Sessions::run(int socket) {
    unsigned domain = 0;
    BusRequest request{};
    int descriptor = -1;
    while (receive_message(socket, request, descriptor)) {
        BusReply const reply = answer(request, descriptor, domain);
        if (request.what != BusRequest::What::write && !send_message(socket, reply)) {
            break;
        }
    }
    close(socket);
    if (domain != 0) {
        leave(domain);
    }
}

unsigned Sessions::join(unsigned domain) {
    std::lock_guard const lock(mutex_);
    if (!members_.contains(domain)) {
        domain = ++last_domain_;
    }
    ++members_[domain];
    return domain;
}

void Sessions::leave(unsigned domain) {
    std::lock_guard const lock(mutex_);
    if (--members_[domain] == 0) {
        members_.erase(domain);
        board_.end_domain(domain);
    }
}

// Takes the descriptor over.
BusReply Sessions::answer(BusRequest const& request, int descriptor, unsigned& domain) {
    using What = BusRequest::What;
    Function const function =
        request.function < 0 ? Function::pf() : Function::vf(static_cast<unsigned>(request.function));
    BusReply reply{};
    if (request.what == What::interrupt) {
        if (request.a < Nic::pf_vectors) {
            board_.set_interrupt(function, static_cast<unsigned>(request.a), descriptor);
            return reply;
        }
        reply.error = EINVAL;
    } else if (request.what == What::map) {
        void* const memory =
            mmap(nullptr, request.b, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, static_cast<off_t>(request.c));
        if (memory == MAP_FAILED) {
            reply.error = errno;
        } else {
            Iommu::Memory shared(static_cast<std::uint8_t*>(memory),
                                 [size = request.b](std::uint8_t* at) { munmap(at, size); });
            reply.error = board_.map(domain, request.a, std::move(shared), request.b);
        }
    } else if (request.what == What::join) {
        domain = join(static_cast<unsigned>(request.a));
        reply.value = domain;
    } else if (request.what == What::read) {
        reply.value = board_.nic().read(function, static_cast<reg::Offset>(request.a));
    } else if (request.what == What::write) {
        board_.nic().write(function, static_cast<reg::Offset>(request.a), static_cast<std::uint32_t>(request.b));
    } else if (request.what == What::reset) {
        board_.nic().function_level_reset(function);
    } else if (request.what == What::attach) {
        board_.attach(function, domain);
    } else if (request.what == What::unmap) {
        reply.value = board_.unmap(domain, request.a, request.b);
    } else {
        reply.error = ENOSYS;
    }
    if (descriptor >= 0) {
        close(descriptor);
    }
    return reply;
}

}  // namespace nic82599
