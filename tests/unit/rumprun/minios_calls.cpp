// SPDX-License-Identifier: BSD-2-Clause
// The platform's C functions, on the double.
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "minios_double.hpp"

namespace {

constexpr std::uintptr_t page_bytes = LVIF_PAGE_BYTES;

}  // namespace

struct MiniOs::Calls {
    static MiniOs& os() { return machine(); }

    // ---- threads
    static void run(bmk_thread* self, void (*function)(void*), void* data) {
        bmk_current = self;
        {
            std::unique_lock lock(os().baton_);
            self->turn.wait(lock, [self] { return os().running_ == self; });
        }
        function(data);
        self->ended = true;
        self->runnable = false;
        os().schedule();
    }
    static bmk_thread* create(char const* name, void (*function)(void*), void* data) {
        os().check_thread("bmk_sched_create");
        auto& thread = os().threads_.emplace_back(std::make_unique<bmk_thread>());
        thread->name = name;
        thread->thread = std::thread(run, thread.get(), function, data);
        os().run_queue_.push_back(thread.get());
        return thread.get();
    }
    static void prepare(std::int64_t deadline) {
        os().check_thread("bmk_sched_blockprepare");
        if (bmk_current->prepared) {
            os().violation("prepared to block twice");
        }
        bmk_current->prepared = true;
        bmk_current->runnable = false;
        bmk_current->timed_out = false;
        bmk_current->deadline = deadline;
    }
    static int block() {
        os().check_thread("bmk_sched_block");
        if (os().priority_ != 0) {
            os().violation("blocked with interrupts off");
        }
        if (!bmk_current->prepared) {
            os().violation("blocked without preparation");
        }
        if (bmk_current->scheduled) {
            os().violation("thread " + bmk_current->name + " blocked inside the rump kernel");
        }
        os().others_turn();
        os().schedule();
        bmk_current->prepared = false;
        return bmk_current->timed_out ? 60 : 0;
    }
    static void sched_yield() {
        os().check_thread("bmk_sched_yield");
        if (bmk_current->scheduled) {
            os().violation("thread " + bmk_current->name + " yielded inside the rump kernel");
        }
        os().yield();
    }
    static void wake(bmk_thread* thread) {
        if (thread->inside_kernel) {
            os().violation("a thread was woken that sleeps in the rump kernel");
        }
        if (!thread->runnable && !thread->ended) {
            thread->runnable = true;
            os().run_queue_.push_back(thread);
        }
    }
    static void join(bmk_thread* thread) {
        while (!thread->ended) {
            os().block_until(os().now_ns_ + 1'000'000);
        }
    }
    static std::int64_t clock() {
        os().now_ns_ += 1000;
        return os().now_ns_;
    }
    static unsigned long splhigh() { return std::exchange(os().priority_, 1UL); }
    static void splx(unsigned long priority) {
        os().priority_ = priority;
        os().interrupts();
    }

    // ---- memory
    static void* allocate(std::size_t bytes, std::size_t align) {
        os().check_thread("an allocation");
        align = align < 16 ? 16 : align;
        void* const memory = std::aligned_alloc(align, (bytes + align - 1) / align * align);
        std::memset(memory, 0xA5, bytes);
        os().memory_.insert(memory);
        return memory;
    }
    static void free_memory(void* memory) {
        os().check_thread("bmk_memfree");
        if (os().memory_.erase(memory) == 0) {
            return os().violation("bmk_memfree of what was not allocated");
        }
        std::free(memory);
    }
    static void* allocate_pages(int order) {
        os().check_thread("bmk_pgalloc");
        if (os().pages_to_refuse > 0) {
            --os().pages_to_refuse;
            return nullptr;
        }
        std::size_t const pages = std::size_t{1} << order;
        void* const memory = std::aligned_alloc(page_bytes, pages * page_bytes);
        std::memset(memory, 0xA5, pages * page_bytes);
        auto const block = std::make_shared<Block>(Block{memory, pages});
        for (std::size_t i = 0; i < pages; ++i) {
            os().page_block_[reinterpret_cast<std::uintptr_t>(memory) + i * page_bytes] = block;
        }
        return memory;
    }
    // A part of what was allocated may be freed, but a buddy has its own alignment.
    static void free_pages(void* first, int order) {
        os().check_thread("bmk_pgfree");
        for (std::size_t i = 0; i < std::size_t{1} << order; ++i) {
            auto const page = reinterpret_cast<std::uintptr_t>(first) + i * page_bytes;
            auto const found = os().page_block_.find(page);
            if (found == os().page_block_.end()) {
                return os().violation("bmk_pgfree of what was not allocated");
            }
            for (auto const& [grant, granted] : os().grants_) {
                if (granted.page == page) {
                    os().violation("pages were freed that are still granted");
                }
            }
            auto const start = reinterpret_cast<std::uintptr_t>(found->second->memory);
            if ((page - i * page_bytes - start) % (page_bytes << order) != 0) {
                os().violation("bmk_pgfree of pages that are no buddy of that order");
            }
            std::memset(reinterpret_cast<void*>(page), 0x5A, page_bytes);
            if (--found->second->pages_left == 0) {
                std::free(found->second->memory);
            }
            os().page_block_.erase(found);
        }
    }

    // ---- grants, events
    static grant_ref_t grant(std::uint16_t domain, unsigned long frame, bool readonly) {
        os().check_thread("gnttab_grant_access");
        if (os().free_grants_.empty()) {
            std::fprintf(stderr, "gnttab_grant_access waits for ever: the table is full\n");
            std::abort();
        }
        grant_ref_t const granted = os().free_grants_.front();
        os().free_grants_.pop_front();
        os().grants_[granted] = {frame << 12, domain, readonly};
        return granted;
    }
    static int end_grant(grant_ref_t grant) {
        if (!os().grants_.contains(grant)) {
            os().violation("gnttab_end_access of no grant");
            return 1;
        }
        auto const region = os().region_of_.find(grant);
        if (region != os().region_of_.end()) {
            auto const known = os().world.regions().find(region->second);
            if (known != os().world.regions().end() && known->second.mapped > 0) {
                return 0;
            }
            if (known != os().world.regions().end()) {
                os().world.regions().erase(known);
            }
        }
        if (os().busy_grants.contains(grant)) {
            return 0;
        }
        os().region_of_.erase(grant);
        os().grants_.erase(grant);
        os().free_grants_.push_back(grant);
        return 1;
    }
    static int allocate_event(std::uint16_t domain, evtchn_handler_t handler, void* data, evtchn_port_t* port) {
        os().check_thread("minios_evtchn_alloc_unbound");
        if (os().refuse_events) {
            return -28;
        }
        auto const environment = os().world.environment();
        environment.event_allocate(&os().world, domain, port);
        os().channels_[*port] = {handler, data};
        return 0;
    }
    static void unmask(std::uint32_t port) {
        os().channels_.at(port).masked = false;
        os().interrupts();
    }
    static void unbind(std::uint32_t port) {
        auto const environment = os().world.environment();
        environment.event_free(&os().world, port);
        os().channels_.erase(port);
    }
    static int notify(std::uint32_t port) {
        auto const environment = os().world.environment();
        environment.event_notify(&os().world, port);
        return 0;
    }

    // ---- xenbus: others run meanwhile
    static char* text(char const* words) {
        char* const copy = strdup(words);
        os().texts_.insert(copy);
        return copy;
    }
    static void xenbus(char const* call) {
        os().check_thread(call);
        if (bmk_current->scheduled) {
            os().violation(std::string(call) + " inside the rump kernel");
        }
        os().yield();
    }
    static char* read(char const* path, char** value) {
        xenbus("xenbus_read");
        std::string const found = std::string(path) == "domid" ? "7" : os().world.read(path);
        *value = nullptr;
        if (found.empty()) {
            return text("ENOENT");
        }
        *value = text(found.c_str());
        return nullptr;
    }
    static char* write(char const* path, char const* value) {
        xenbus("xenbus_write");
        if (os().refuse_writes) {
            return text("EACCES");
        }
        os().note_region(path, value);
        auto const environment = os().world.environment();
        environment.store_write(&os().world, path, value);
        return nullptr;
    }
    static char* watch(char const* path, xenbus_event_queue* queue) {
        xenbus("xenbus_watch_path_token");
        os().watch_queue_ = queue;
        os().watches_.insert(path);
        auto const environment = os().world.environment();
        environment.store_watch(&os().world, path);
        return nullptr;
    }
    static char* unwatch(char const* path) {
        xenbus("xenbus_unwatch_path_token");
        os().watches_.erase(path);
        auto const environment = os().world.environment();
        environment.store_unwatch(&os().world, path);
        return nullptr;
    }
    static void take_watch(xenbus_event_queue* queue) {
        os().check_thread("xenbus_wait_for_watch");
        xenbus_event* const event = queue->events.first;
        if (event == nullptr) {
            std::fprintf(stderr, "xenbus_wait_for_watch waits for ever\n");
            std::abort();
        }
        queue->events.first = event->next;
        os().texts_.erase(event);
        delete event;
    }
    static void free_text(void* words) {
        if (os().texts_.erase(words) == 0) {
            return os().violation("xenbus_free of what is not xenbus'");
        }
        std::free(words);
    }
    static void print(char const* words) { os().console += words; }
    static void enter() { os().kernel_enter(); }
    static void leave() { os().kernel_leave(); }
};

using Calls = MiniOs::Calls;

int minios_evtchn_alloc_unbound(domid_t domain, evtchn_handler_t handler, void* data, evtchn_port_t* port) {
    return Calls::allocate_event(domain, handler, data, port);
}
void minios_unmask_evtchn(std::uint32_t port) {
    Calls::unmask(port);
}
void minios_unbind_evtchn(evtchn_port_t port) {
    Calls::unbind(port);
}
int minios_notify_remote_via_evtchn(evtchn_port_t port) {
    return Calls::notify(port);
}
grant_ref_t gnttab_grant_access(domid_t domain, unsigned long frame, int readonly) {
    return Calls::grant(domain, frame, readonly != 0);
}
int gnttab_end_access(grant_ref_t grant) {
    return Calls::end_grant(grant);
}
int minios_double_hypercall(unsigned long number, unsigned long a1, unsigned long a2) {
    return number == 46 ? MiniOs::machine().hypercall(a1, reinterpret_cast<void*>(a2)) : -38;
}

void xenbus_event_queue_init(xenbus_event_queue* queue) {
    *queue = {};
}
char* xenbus_read(xenbus_transaction_t /*transaction*/, char const* path, char** value) {
    return Calls::read(path, value);
}
char* xenbus_write(xenbus_transaction_t /*transaction*/, char const* path, char const* value) {
    return Calls::write(path, value);
}
char* xenbus_watch_path_token(xenbus_transaction_t /*transaction*/, char const* path, char const* /*token*/,
                              xenbus_event_queue* queue) {
    return Calls::watch(path, queue);
}
char* xenbus_unwatch_path_token(xenbus_transaction_t /*transaction*/, char const* path, char const* /*token*/) {
    return Calls::unwatch(path);
}
void xenbus_wait_for_watch(xenbus_event_queue* queue) {
    Calls::take_watch(queue);
}
void xenbus_free(void* text) {
    Calls::free_text(text);
}

void* bmk_memalloc(unsigned long bytes, unsigned long align, bmk_memwho /*who*/) {
    return Calls::allocate(bytes, align);
}
void* bmk_memcalloc(unsigned long count, unsigned long bytes, bmk_memwho /*who*/) {
    void* const memory = Calls::allocate(count * bytes, 16);
    return std::memset(memory, 0, count * bytes);
}
void bmk_memfree(void* memory, bmk_memwho /*who*/) {
    Calls::free_memory(memory);
}
void* bmk_pgalloc(int order) {
    return Calls::allocate_pages(order);
}
void bmk_pgfree(void* pages, int order) {
    Calls::free_pages(pages, order);
}
bmk_time_t bmk_platform_cpu_clock_monotonic() {
    return Calls::clock();
}
unsigned long bmk_platform_splhigh() {
    return Calls::splhigh();
}
void bmk_platform_splx(unsigned long priority) {
    Calls::splx(priority);
}
void bmk_printf(char const* format, ...) {
    char line[256];
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    Calls::print(line);
}
bmk_thread* bmk_sched_create(char const* name, void* /*cookie*/, int /*joinable*/, void (*run)(void*), void* data,
                             void* /*stack*/, unsigned long /*stack_bytes*/) {
    return Calls::create(name, run, data);
}
void bmk_sched_join(bmk_thread* thread) {
    Calls::join(thread);
}
void bmk_sched_blockprepare_timeout(bmk_time_t deadline) {
    Calls::prepare(deadline);
}
void bmk_sched_yield() {
    Calls::sched_yield();
}
int bmk_sched_block() {
    return Calls::block();
}
void bmk_sched_wake(bmk_thread* thread) {
    Calls::wake(thread);
}

rumpuser_hyperup rumpuser__hyp = {
    .hyp_schedule = Calls::enter,
    .hyp_unschedule = Calls::leave,
    .hyp_lwproc_newlwp = [](int) { return 0; },
    .hyp_lwproc_release = [] {},
};
void rumpkern_unsched(int* locks, void* /*interlock*/) {
    *locks = 1;
    Calls::leave();
}
void rumpkern_sched(int /*locks*/, void* /*interlock*/) {
    Calls::enter();
}
