/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The portmap's hypercall: librettos/portmap_hypercall.h for what it is,
 * state.h for who decides.
 *
 * One lock guards the state, the generator and the assignment of the server;
 * nothing else is locked under it, and no guest memory is touched under it. It
 * is a leaf below the domctl lock (domain destruction). It is never taken with
 * interrupts off or in an interrupt: the timer runs as a softirq.
 *
 * Work is done in portions of PORTION ports. What is left over is done by the
 * hypercall that is continued, or by the timer when it fires again, so that
 * other work is done in between. Nothing is printed after boot.
 */
#include <xen/errno.h>
#include <xen/guest_access.h>
#include <xen/hypercall.h>
#include <xen/init.h>
#include <xen/lib.h>
#include <xen/nospec.h>
#include <xen/paging.h>
#include <xen/param.h>
#include <xen/portmap.h>
#include <xen/random.h>
#include <xen/sched.h>
#include <xen/time.h>
#include <xen/timer.h>
#include <xen/vmap.h>
#include <xsm/xsm.h>

#include "random.h"
#include "state.h"
#include "table.h"

#define PORTION 1024U
/* Between two portions of the timer's work. */
#define PAUSE MICROSECS(100)

union argument
{
    struct lvif_portmap_features features;
    struct lvif_portmap_ports ports;
    struct lvif_portmap_domain domain;
    struct lvif_portmap_name name;
    struct lvif_portmap_seed seed;
    struct lvif_portmap_query query;
    struct lvif_portmap_table table;
};

/* How an operation is called. */
struct operation
{
    uint8_t bytes; /* of its structure; 0: there is no such operation */
    bool in;
    bool out;
};

static const struct operation operations[] = {
    [LVIF_PORTMAP_OP_FEATURES] = {sizeof(struct lvif_portmap_features), 0, 1},
    [LVIF_PORTMAP_OP_BIND] = {sizeof(struct lvif_portmap_ports), 1, 1},
    [LVIF_PORTMAP_OP_LEASE] = {sizeof(struct lvif_portmap_ports), 1, 1},
    [LVIF_PORTMAP_OP_RELEASE] = {sizeof(struct lvif_portmap_ports), 1, 0},
    [LVIF_PORTMAP_OP_SET_LIMIT] = {sizeof(struct lvif_portmap_domain), 1, 0},
    [LVIF_PORTMAP_OP_RESERVE] = {sizeof(struct lvif_portmap_ports), 1, 0},
    [LVIF_PORTMAP_OP_ASSIGN_SERVER] = {sizeof(struct lvif_portmap_domain), 1,
                                       0},
    [LVIF_PORTMAP_OP_SET_NAME] = {sizeof(struct lvif_portmap_name), 1, 0},
    [LVIF_PORTMAP_OP_SET_QUARANTINE] = {sizeof(struct lvif_portmap_domain), 1,
                                        0},
    [LVIF_PORTMAP_OP_SEED] = {sizeof(struct lvif_portmap_seed), 1, 0},
    [LVIF_PORTMAP_OP_QUERY] = {sizeof(struct lvif_portmap_query), 1, 1},
    [LVIF_PORTMAP_OP_TABLE] = {sizeof(struct lvif_portmap_table), 0, 1},
};

static bool __initdata opt_portmap = true;
boolean_param("portmap", opt_portmap);

static DEFINE_SPINLOCK(lock);
static struct portmap_state *__read_mostly state; /* NULL: switched off */
static struct portmap_generator generator;
static struct timer expiry;

static uint64_t now_ms(void)
{
    return NOW() / MILLISECS(1);
}

static uint32_t cycles(void)
{
    return (uint32_t)get_cycles();
}

/* Under the lock. */
uint32_t portmap_random32(void)
{
    if ( generator.left == 0 )
    {
        uint32_t seed[PORTMAP_SEED_WORDS] = {get_random(), cycles()};

        portmap_generator_stir(&generator, seed);
    }
    return portmap_generator_draw(&generator);
}

/* Under the lock. */
static void set_expiry(bool at_once)
{
    uint64_t next_ms = portmap_next_expiry(state);

    if ( at_once )
        set_timer(&expiry, NOW() + PAUSE);
    else if ( next_ms == UINT64_MAX )
        stop_timer(&expiry);
    else
        set_timer(&expiry, (next_ms + 1) * MILLISECS(1));
}

static void cf_check expire(void *unused)
{
    bool done;

    spin_lock(&lock);
    done = portmap_expire(state, now_ms(), PORTION);
    set_expiry(!done);
    spin_unlock(&lock);
}

int portmap_domain_destroy(struct domain *d)
{
    bool done;

    if ( !state )
        return 0;
    spin_lock(&lock);
    done = portmap_remove_domain(state, d->domain_id, now_ms(), PORTION);
    if ( portmap_is_server(d) )
        portmap_unassign();
    set_expiry(!done);
    spin_unlock(&lock);
    return done ? 0 : -ERESTART;
}

static long features(struct lvif_portmap_features *features)
{
    features->magic = LVIF_PORTMAP_ABI_MAGIC;
    features->abi = LVIF_PORTMAP_ABI;
    features->features = LVIF_PORTMAP_F_TABLE_PV;
    features->ports_per_domain = state->settings.ports_per_domain;
    features->quarantine_s = state->settings.quarantine_ms / 1000;
    features->owners = PORTMAP_OWNERS;
    return 0;
}

/* BIND, LEASE, RELEASE: of the caller, for itself. */
static long guest_operation(unsigned int op, struct lvif_portmap_ports *ports)
{
    struct domain *d = current->domain;
    uint16_t id = d->domain_id;
    int rc;

    if ( ports->on || ports->count >= LVIF_PORTS ||
         (op == LVIF_PORTMAP_OP_BIND && ports->count) ||
         (op == LVIF_PORTMAP_OP_LEASE && ports->port) )
        return -EINVAL;
    block_speculation(); /* count is where loops end */
    rc = portmap_add_domain(state, id, d->handle);
    if ( rc )
        return rc;
    switch ( op )
    {
    case LVIF_PORTMAP_OP_BIND:
        return portmap_bind(state, id, ports->protocol, ports->port, now_ms(),
                            &ports->port);

    case LVIF_PORTMAP_OP_LEASE:
        return portmap_lease(state, id, ports->protocol, ports->count, now_ms(),
                             &ports->port);

    default: /* LVIF_PORTMAP_OP_RELEASE */
        if ( ports->protocol != LVIF_PORT_TCP_AND_UDP || ports->port ||
             ports->count )
            return portmap_release(state, id, ports->protocol, ports->port,
                                   ports->count, now_ms());
        rc = portmap_release_all(state, id, now_ms(), PORTION);
        return rc == 1 ? -ERESTART : rc;
    }
}

/* SET_LIMIT, SET_NAME, ASSIGN_SERVER: of the domain that the caller names. */
static long domain_operation(unsigned int op, union argument *arg)
{
    uint16_t id = arg->domain.domain;
    bool assign = op == LVIF_PORTMAP_OP_ASSIGN_SERVER;
    struct domain *d =
        assign ? rcu_lock_domain_by_any_id(id) : rcu_lock_domain_by_id(id);
    long rc = -ENOENT;

    BUILD_BUG_ON(offsetof(union argument, domain.domain) !=
                 offsetof(union argument, name.domain));
    BUILD_BUG_ON(LVIF_PORTMAP_SELF != DOMID_SELF);
    if ( !d )
        return rc;
    /* Ports of a domain that has been through portmap_domain_destroy() would
     * stay for ever: is_dying is set before. */
    if ( d->is_dying )
        goto out;
    if ( assign )
    {
        rc = portmap_assign(d->domain_id);
        goto out;
    }
    if ( is_control_domain(d) ) /* owns no ports */
        goto out;
    rc = portmap_add_domain(state, id, d->handle);
    if ( !rc && op == LVIF_PORTMAP_OP_SET_NAME )
        rc = portmap_set_name(state, id, arg->name.name);
    else if ( !rc )
        rc = portmap_set_limit(state, id, arg->domain.value);

out:
    rcu_unlock_domain(d);
    return rc;
}

static bool is_zero(const uint8_t *bytes, unsigned int count)
{
    while ( count-- > 0 )
        if ( bytes[count] )
            return false;
    return true;
}

static long reserve(const struct lvif_portmap_ports *ports)
{
    if ( ports->on > 1 || ports->count >= LVIF_PORTS )
        return -EINVAL;
    block_speculation();
    return portmap_reserve(state, ports->protocol, ports->port, ports->count,
                           ports->on, now_ms());
}

static long set_quarantine(const struct lvif_portmap_domain *domain)
{
    if ( domain->domain || domain->zero ||
         domain->value > LVIF_PORTMAP_QUARANTINE_MAX_S )
        return -EINVAL;
    state->settings.quarantine_ms = (uint64_t)domain->value * 1000;
    set_expiry(false);
    return 0;
}

static long table(struct lvif_portmap_table *table)
{
    /* Its guest-physical addresses are not machine frames. */
    if ( paging_mode_translate(current->domain) )
        return -EOPNOTSUPP;
    table->first_frame = portmap_table_first_frame();
    table->frames = PFN_UP(LVIF_PORTMAP_BYTES);
    return 0;
}

/* Under the lock. */
static long operate(unsigned int op, union argument *arg)
{
    uint32_t seed[PORTMAP_SEED_WORDS];

    switch ( op )
    {
    case LVIF_PORTMAP_OP_FEATURES:
        return features(&arg->features);

    case LVIF_PORTMAP_OP_BIND:
    case LVIF_PORTMAP_OP_LEASE:
    case LVIF_PORTMAP_OP_RELEASE:
        return guest_operation(op, &arg->ports);

    case LVIF_PORTMAP_OP_ASSIGN_SERVER:
        if ( arg->domain.zero || arg->domain.value )
            return -EINVAL;
        if ( arg->domain.domain == LVIF_PORTMAP_NOBODY )
            return portmap_assign(LVIF_PORTMAP_NOBODY);
        return domain_operation(op, arg);

    case LVIF_PORTMAP_OP_SET_LIMIT:
        return arg->domain.zero ? -EINVAL : domain_operation(op, arg);

    case LVIF_PORTMAP_OP_SET_NAME:
        return is_zero(arg->name.zero, sizeof(arg->name.zero))
                   ? domain_operation(op, arg)
                   : -EINVAL;

    case LVIF_PORTMAP_OP_RESERVE:
        return reserve(&arg->ports);

    case LVIF_PORTMAP_OP_SET_QUARANTINE:
        return set_quarantine(&arg->domain);

    case LVIF_PORTMAP_OP_SEED:
        BUILD_BUG_ON(sizeof(seed) != sizeof(arg->seed.bytes));
        memcpy(seed, arg->seed.bytes, sizeof(seed));
        portmap_generator_stir(&generator, seed);
        return 0;

    case LVIF_PORTMAP_OP_QUERY:
        return arg->query.zero ? -EINVAL
                               : portmap_query(state, now_ms(), &arg->query);

    case LVIF_PORTMAP_OP_TABLE:
        return table(&arg->table);
    }
    return -EOPNOTSUPP;
}

static int may_call(unsigned int op)
{
    struct domain *d = current->domain;

    switch ( op )
    {
    case LVIF_PORTMAP_OP_FEATURES:
        return 0;

    case LVIF_PORTMAP_OP_BIND:
    case LVIF_PORTMAP_OP_LEASE:
    case LVIF_PORTMAP_OP_RELEASE:
        /* The host reserves, it does not bind. */
        return is_control_domain(d)
                   ? -EPERM
                   : xsm_portmap_op(XSM_OTHER, PORTMAP_ACCESS_USE);

    case LVIF_PORTMAP_OP_QUERY:
        return xsm_portmap_op(XSM_OTHER, portmap_is_server(d)
                                             ? PORTMAP_ACCESS_USE
                                             : PORTMAP_ACCESS_CONTROL);

    case LVIF_PORTMAP_OP_TABLE:
        return portmap_is_server(d)
                   ? xsm_portmap_op(XSM_OTHER, PORTMAP_ACCESS_USE)
                   : -EPERM;

    default:
        return xsm_portmap_op(XSM_OTHER, PORTMAP_ACCESS_CONTROL);
    }
}

long do_portmap_op(unsigned int op, XEN_GUEST_HANDLE_PARAM(void) structure)
{
    XEN_GUEST_HANDLE_PARAM(char) bytes = guest_handle_cast(structure, char);
    const struct operation *operation;
    union argument arg;
    long rc;

    BUILD_BUG_ON(__HYPERVISOR_portmap_op != LVIF_PORTMAP_HYPERCALL);
    if ( !state )
        return -ENOSYS;
    if ( op >= ARRAY_SIZE(operations) )
        return -EOPNOTSUPP;
    operation = &operations[array_index_nospec(op, ARRAY_SIZE(operations))];
    if ( !operation->bytes )
        return -EOPNOTSUPP;
    rc = may_call(op);
    if ( rc ) /* FLASK's word for it is another; the ABI has one. */
        return rc == -EACCES ? -EPERM : rc;
    memset(&arg, 0, sizeof(arg));
    if ( operation->in &&
         copy_from_guest((char *)&arg, bytes, operation->bytes) )
        return -EFAULT;

    spin_lock(&lock);
    rc = portmap_expire(state, now_ms(), PORTION) ? operate(op, &arg)
                                                  : -ERESTART;
    spin_unlock(&lock);

    if ( rc == -ERESTART )
        return hypercall_create_continuation(__HYPERVISOR_portmap_op, "ih", op,
                                             structure);
    if ( !rc && operation->out &&
         copy_to_guest(bytes, (char *)&arg, operation->bytes) )
        return -EFAULT;
    return rc;
}

static int __init cf_check portmap_start(void)
{
    static const struct portmap_settings __initconst settings = {
        .ephemeral_first = 32768,
        .ephemeral_last = 60999,
        .ports_per_domain = 4096,
        .quarantine_ms = 60000,
        .quarantined_ports = 16384,
        .quarantined_domains = 1024,
    };
    uint32_t seed[PORTMAP_SEED_WORDS];
    struct portmap_state *memory;
    struct lvif_portmap *pages;
    unsigned int i;

    if ( !opt_portmap )
        return 0;
    memory = vzalloc(sizeof(*memory));
    pages = memory ? portmap_table_create() : NULL;
    if ( !pages )
    {
        printk(XENLOG_ERR "portmap: no memory; ports cannot be claimed\n");
        vfree(memory);
        return -ENOMEM;
    }
    for ( i = 0; i < ARRAY_SIZE(seed); i++ )
        seed[i] = get_random() ^ cycles();
    portmap_generator_stir(&generator, seed);
    portmap_init(memory, pages, &settings);
    init_timer(&expiry, expire, NULL, 0);
    state = memory;
    printk("portmap: ABI %u\n", LVIF_PORTMAP_ABI);
    return 0;
}
__initcall(portmap_start);
