/* SPDX-License-Identifier: BSD-2-Clause */
/* What the component uses of rumprun's platform headers, for the double that stands in for the platform. */
#ifndef LIBRETTOS_TEST_MINIOS_PLATFORM_H
#define LIBRETTOS_TEST_MINIOS_PLATFORM_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* mini-os */
typedef uint16_t domid_t;
typedef uint32_t evtchn_port_t;
typedef uint32_t grant_ref_t;
struct pt_regs;
typedef void (*evtchn_handler_t)(evtchn_port_t, struct pt_regs*, void*);
int minios_evtchn_alloc_unbound(domid_t domain, evtchn_handler_t handler, void* data, evtchn_port_t* port);
void minios_unmask_evtchn(uint32_t port);
void minios_unbind_evtchn(evtchn_port_t port);
int minios_notify_remote_via_evtchn(evtchn_port_t port);

grant_ref_t gnttab_grant_access(domid_t domain, unsigned long frame, int readonly);
int gnttab_end_access(grant_ref_t grant);
#define virt_to_mfn(address) ((unsigned long)(address) >> 12)

int minios_double_hypercall(unsigned long number, unsigned long a1, unsigned long a2);
#define _hypercall2(type, name, a1, a2) \
    ((type)minios_double_hypercall(__HYPERVISOR_##name, (unsigned long)(a1), (unsigned long)(a2)))

typedef unsigned long xenbus_transaction_t;
#define XBT_NIL ((xenbus_transaction_t)0)
struct xenbus_event {
    struct xenbus_event* next;
};
struct xenbus_event_list {
    struct xenbus_event* first;
};
#define MINIOS_STAILQ_EMPTY(list) ((list)->first == NULL)
struct xenbus_event_queue {
    struct xenbus_event_list events;
    void (*wakeup)(struct xenbus_event_queue*);
};
void xenbus_event_queue_init(struct xenbus_event_queue* queue);
char* xenbus_read(xenbus_transaction_t transaction, char const* path, char** value);
char* xenbus_write(xenbus_transaction_t transaction, char const* path, char const* value);
char* xenbus_watch_path_token(xenbus_transaction_t transaction, char const* path, char const* token,
                              struct xenbus_event_queue* queue);
char* xenbus_unwatch_path_token(xenbus_transaction_t transaction, char const* path, char const* token);
void xenbus_wait_for_watch(struct xenbus_event_queue* queue);
void xenbus_free(void* text);

/* bmk-core */
#define BMK_EIO 5
#define BMK_ENOMEM 12
#define BMK_EBUSY 16
typedef int64_t bmk_time_t;
enum bmk_memwho { BMK_MEMWHO_WIREDBMK };
void* bmk_memalloc(unsigned long bytes, unsigned long align, enum bmk_memwho who);
void* bmk_memcalloc(unsigned long count, unsigned long bytes, enum bmk_memwho who);
void bmk_memfree(void* memory, enum bmk_memwho who);
void* bmk_pgalloc(int order);
void bmk_pgfree(void* pages, int order);
bmk_time_t bmk_platform_cpu_clock_monotonic(void);
unsigned long bmk_platform_splhigh(void);
void bmk_platform_splx(unsigned long priority);
void bmk_printf(char const* format, ...) __attribute__((format(printf, 1, 2)));

#define BMK_SCHED_BLOCK_INFTIME -1
struct bmk_thread;
extern __thread struct bmk_thread* bmk_current;
struct bmk_thread* bmk_sched_create(char const* name, void* cookie, int joinable, void (*run)(void*), void* data,
                                    void* stack, unsigned long stack_bytes);
void bmk_sched_join(struct bmk_thread* thread);
void bmk_sched_blockprepare_timeout(bmk_time_t deadline);
int bmk_sched_block(void);
void bmk_sched_yield(void);
void bmk_sched_wake(struct bmk_thread* thread);

/* bmk-rumpuser */
struct rumpuser_hyperup {
    void (*hyp_schedule)(void);
    void (*hyp_unschedule)(void);
    int (*hyp_lwproc_newlwp)(int process);
    void (*hyp_lwproc_release)(void);
};
extern struct rumpuser_hyperup rumpuser__hyp;
void rumpkern_unsched(int* locks, void* interlock);
void rumpkern_sched(int locks, void* interlock);

#ifdef __cplusplus
}
#endif

#endif
