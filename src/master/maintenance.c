#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "master/state.h"
#include "wire/codec.h"

/*
 * Maintenance: a schedule says when which machines will not be available, and an operator takes
 * machines of it down and up again. A machine is a hostname together with an address; an agent is
 * on it when both are the agent's.
 *
 * A machine of the schedule drains: its agents' offers tell of it and frameworks are asked to leave
 * (inverse.c). A machine that is down has no agents; one that comes back is told to end.
 */

typedef Mesos__V1__MachineID MachineID;
typedef Mesos__V1__Maintenance__Schedule Schedule;
typedef Mesos__V1__Maintenance__Window Window;

/* The registry's entry holds the schedule and again those that are down: half of a value each. */
enum { SCHEDULE_BYTES_MAX = 240 * 1024 };

/* ---- machines ---- */

static bool given(const char *text)
{
    return text && text[0];
}

/* "host (10.0.0.1)", for people. */
static const char *machine_text(const MachineID *id, char *buf, size_t n)
{
    if (given(id->hostname) && given(id->ip))
        snprintf(buf, n, "%s (%s)", id->hostname, id->ip);
    else
        snprintf(buf, n, "%s", given(id->hostname) ? id->hostname : given(id->ip) ? id->ip : "");
    return buf;
}

static int parse_ip(const char *text, char ret[INET6_ADDRSTRLEN])
{
    uint8_t address[16];
    for (int family = AF_INET;; family = AF_INET6) {
        if (inet_pton(family, text, address) == 1) {
            (void)inet_ntop(family, address, ret, INET6_ADDRSTRLEN);
            return 0;
        }
        if (family == AF_INET6)
            return -EINVAL;
    }
}

/* Names do not differ by case, addresses not by how they are written. */
static void machine_key(const char *hostname, const char *ip, struct buf *ret)
{
    for (const char *p = hostname ? hostname : ""; *p; p++)
        buf_putc(ret, *p >= 'A' && *p <= 'Z' ? (char)(*p - 'A' + 'a') : *p);
    buf_putc(ret, '\n');
    char address[INET6_ADDRSTRLEN];
    if (given(ip))
        buf_puts(ret, parse_ip(ip, address) == 0 ? address : ip);
}

struct machine *machine_find(const struct master_core *core, const char *hostname, const char *ip)
{
    if (map_size(&core->machines) == 0)
        return NULL;
    _cleanup_buf_ struct buf key = BUF_INIT;
    machine_key(hostname, ip, &key);
    return map_get(&core->machines, buf_cstr(&key));
}

void machine_assign(struct master_core *core, struct agent *a)
{
    a->machine = a->ip ? machine_find(core, a->info->hostname, a->ip) : NULL;
    list_remove(&a->machine_node);
    if (a->machine)
        list_push(&a->machine->agents, &a->machine_node);
}

static int check_machine(const MachineID *id, struct map *seen, struct arena *arena,
    const char **ret_key, struct error *err)
{
    char text[320], address[INET6_ADDRSTRLEN];
    if (!given(id->hostname) && !given(id->ip))
        return error_set(err, -EINVAL, "A machine has neither 'hostname' nor 'ip'");
    machine_text(id, text, sizeof(text));
    if (given(id->ip) && parse_ip(id->ip, address) < 0)
        return error_set(err, -EINVAL, "The 'ip' of machine %s is not an address", text);
    _cleanup_buf_ struct buf key = BUF_INIT;
    machine_key(id->hostname, id->ip, &key);
    char *copy = arena_strdup(arena, buf_cstr(&key));
    if (map_put(seen, copy, copy))
        return error_set(err, -EINVAL, "Machine %s appears more than once", text);
    *ret_key = copy;
    return 0;
}

/* ---- the schedule ---- */

static int check_windows(
    const Schedule *s, struct map *seen, struct arena *arena, struct error *err)
{
    for (size_t i = 0; i < s->n_windows; i++) {
        const Window *w = s->windows[i];
        if (w->n_machine_ids == 0)
            return error_set(err, -EINVAL, "A window of the schedule has no machines");
        const Mesos__V1__Unavailability *u = w->unavailability;
        if (!u || !u->start || !u->start->has_nanoseconds)
            return error_set(err, -EINVAL, "A window of the schedule has no start");
        if (u->duration && u->duration->nanoseconds < 0)
            return error_set(err, -EINVAL, "The duration of a window is negative");
        for (size_t j = 0; j < w->n_machine_ids; j++) {
            const char *key;
            int r = check_machine(w->machine_ids[j], seen, arena, &key, err);
            if (r < 0)
                return r;
        }
    }
    return 0;
}

static int check_schedule(const struct master_core *core, const Schedule *s, struct error *err)
{
    if (protobuf_c_message_get_packed_size(&s->base) > SCHEDULE_BYTES_MAX)
        return error_set(
            err, -EINVAL, "The schedule is larger than %d bytes", (int)SCHEDULE_BYTES_MAX);
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    struct map seen = MAP_INIT;
    int r = check_windows(s, &seen, &arena, err);
    if (r == 0) {
        MAP_FOREACH (e, &core->machines) {
            const struct machine *m = e->value;
            char text[320];
            if (m->down && !map_get(&seen, m->key)) {
                r = error_set(err, -EINVAL,
                    "Machine %s is down and cannot be removed from the schedule",
                    machine_text(m->id, text, sizeof(text)));
                break;
            }
        }
    }
    map_done(&seen);
    return r;
}

static void add_machine(
    struct map *machines, MachineID *id, Mesos__V1__Unavailability *unavailability)
{
    _cleanup_buf_ struct buf key = BUF_INIT;
    machine_key(id->hostname, id->ip, &key);
    struct machine *m = xcalloc(1, sizeof(*m) + key.n + 1);
    memcpy(m->key, buf_cstr(&key), key.n + 1);
    m->id = id;
    m->unavailability = unavailability;
    list_init(&m->agents);
    map_put(machines, m->key, m);
}

static bool same_unavailability(const struct machine *a, const struct machine *b)
{
    if (!a || !b)
        return a == b;
    return wire_equal(&a->unavailability->base, &b->unavailability->base);
}

static void free_machines(struct map *machines)
{
    MAP_FOREACH (e, machines)
        free(e->value);
    map_done(machines);
}

/* Makes it the schedule. Agents whose availability changes lose their offers, and frameworks are
 * asked anew. */
static void install(struct master_core *core, const Schedule *s)
{
    struct arena arena = ARENA_INIT;
    Schedule *copy = (Schedule *)wire_clone(&s->base, &arena);
    struct map old = core->machines;
    core->machines = (struct map)MAP_INIT;
    for (size_t i = 0; i < copy->n_windows; i++)
        for (size_t j = 0; j < copy->windows[i]->n_machine_ids; j++)
            add_machine(&core->machines, copy->windows[i]->machine_ids[j],
                copy->windows[i]->unavailability);
    MAP_FOREACH (e, &core->machines) {
        struct machine *m = e->value;
        const struct machine *before = map_get(&old, m->key);
        m->down = before && before->down;
    }
    MAP_FOREACH (e, &core->agents) {
        struct agent *a = e->value;
        const struct machine *before = a->machine;
        machine_assign(core, a);
        if (same_unavailability(before, a->machine))
            continue;
        agent_withdraw(core, a);
        inverse_forget_agent(core, a);
        mark_dirty(core, a);
        inverse_wake(core, a);
    }
    free_machines(&old);
    arena_done(&core->schedule_arena);
    core->schedule_arena = arena;
    core->schedule = copy->n_windows ? copy : NULL;
    core->change++;
}

int master_core_update_schedule(
    struct master_core *core, const Schedule *schedule, int64_t now_us, struct error *err)
{
    core->now = MAX(core->now, now_us);
    int r = check_schedule(core, schedule, err);
    if (r < 0)
        return r;
    install(core, schedule);
    registry_put_maintenance(core);
    return 0;
}

const Schedule *master_core_schedule(const struct master_core *core)
{
    static const Schedule none = MESOS__V1__MAINTENANCE__SCHEDULE__INIT;
    return core->schedule ? core->schedule : &none;
}

int maintenance_restore(struct master_core *core, const Dcos__Internal__RegistryMaintenance *rec)
{
    if (!rec->schedule || check_schedule(core, rec->schedule, NULL) < 0)
        return -EBADMSG;
    install(core, rec->schedule);
    for (size_t i = 0; i < rec->n_down; i++) {
        struct machine *m = machine_find(core, rec->down[i]->hostname, rec->down[i]->ip);
        if (!m)
            return -EBADMSG;
        m->down = true;
    }
    return 0;
}

/* ---- down and up ---- */

/* All of them in the schedule and in the mode given, each once; the set of their keys. */
static int check_machines(const struct master_core *core, MachineID *const *ids, size_t n,
    bool down, struct map *ret_keys, struct arena *arena, struct error *err)
{
    if (n == 0)
        return error_set(err, -EINVAL, "The list of machines is empty");
    for (size_t i = 0; i < n; i++) {
        char text[320];
        const char *key;
        int r = check_machine(ids[i], ret_keys, arena, &key, err);
        if (r < 0)
            return r;
        const struct machine *m = map_get(&core->machines, key);
        machine_text(ids[i], text, sizeof(text));
        if (!m)
            return error_set(
                err, -EINVAL, "Machine %s is not part of a maintenance schedule", text);
        if (m->down && !down)
            return error_set(err, -EINVAL,
                "Machine %s is not in DRAINING mode and cannot be brought down", text);
        if (!m->down && down)
            return error_set(
                err, -EINVAL, "Machine %s is not in DOWN mode and cannot be brought up", text);
    }
    return 0;
}

static void take_down(struct master_core *core, struct machine *m)
{
    LIST_FOREACH_SAFE (a, &m->agents, struct agent, machine_node) {
        struct link *l = agent_connected(a) ? umap_get(&core->links, a->link) : NULL;
        static const char why[] = "The agent's machine is down for maintenance";
        if (l) {
            send_shutdown_agent(core, l->id, why);
            link_refuse(core, l, why, false);
        }
        agent_remove(core, a);
    }
}

int master_core_start_maintenance(struct master_core *core, MachineID *const *machines, size_t n,
    int64_t now_us, struct error *err)
{
    core->now = MAX(core->now, now_us);
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    struct map keys = MAP_INIT;
    int r = check_machines(core, machines, n, false, &keys, &arena, err);
    if (r == 0) {
        MAP_FOREACH (e, &keys)
            ((struct machine *)map_get(&core->machines, e->key))->down = true;
        registry_put_maintenance(core);
        MAP_FOREACH (e, &keys)
            take_down(core, map_get(&core->machines, e->key));
    }
    map_done(&keys);
    return r;
}

/* The schedule without the machines whose keys are given; windows left empty go too. */
static Schedule *without(const Schedule *s, const struct map *keys, struct arena *arena)
{
    Schedule *rest = arena_alloc(arena, sizeof(*rest));
    mesos__v1__maintenance__schedule__init(rest);
    rest->windows = arena_new_array(arena, Window *, s->n_windows + 1);
    for (size_t i = 0; i < s->n_windows; i++) {
        const Window *w = s->windows[i];
        Window *kept = arena_alloc(arena, sizeof(*kept));
        mesos__v1__maintenance__window__init(kept);
        kept->unavailability = w->unavailability;
        kept->machine_ids = arena_new_array(arena, MachineID *, w->n_machine_ids + 1);
        for (size_t j = 0; j < w->n_machine_ids; j++) {
            _cleanup_buf_ struct buf key = BUF_INIT;
            machine_key(w->machine_ids[j]->hostname, w->machine_ids[j]->ip, &key);
            if (!map_get(keys, buf_cstr(&key)))
                kept->machine_ids[kept->n_machine_ids++] = w->machine_ids[j];
        }
        if (kept->n_machine_ids)
            rest->windows[rest->n_windows++] = kept;
    }
    return rest;
}

int master_core_stop_maintenance(struct master_core *core, MachineID *const *machines, size_t n,
    int64_t now_us, struct error *err)
{
    core->now = MAX(core->now, now_us);
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    struct map keys = MAP_INIT;
    int r = check_machines(core, machines, n, true, &keys, &arena, err);
    if (r == 0) {
        install(core, without(core->schedule, &keys, &arena));
        registry_put_maintenance(core);
    }
    map_done(&keys);
    return r;
}

/* ---- status ---- */

static Mesos__V1__Allocator__InverseOfferStatus *answer_to_wire(
    const struct inverse_answer *answer, struct arena *arena)
{
    Mesos__V1__Allocator__InverseOfferStatus *w = arena_alloc(arena, sizeof(*w));
    mesos__v1__allocator__inverse_offer_status__init(w);
    w->has_status = true;
    w->status = answer->accepted ? MESOS__V1__ALLOCATOR__INVERSE_OFFER_STATUS__STATUS__ACCEPT
                                 : MESOS__V1__ALLOCATOR__INVERSE_OFFER_STATUS__STATUS__DECLINE;
    w->framework_id = arena_alloc(arena, sizeof(*w->framework_id));
    mesos__v1__framework_id__init(w->framework_id);
    w->framework_id->value = arena_strdup(arena, answer->framework->id->text);
    w->timestamp = arena_alloc(arena, sizeof(*w->timestamp));
    mesos__v1__time_info__init(w->timestamp);
    w->timestamp->has_nanoseconds = true;
    w->timestamp->nanoseconds = answer->at_us * NSEC_PER_USEC;
    return w;
}

static Mesos__V1__Maintenance__ClusterStatus__DrainingMachine *draining_to_wire(
    const struct machine *m, struct arena *arena)
{
    Mesos__V1__Maintenance__ClusterStatus__DrainingMachine *w = arena_alloc(arena, sizeof(*w));
    mesos__v1__maintenance__cluster_status__draining_machine__init(w);
    w->id = m->id;
    size_t n = 0;
    LIST_FOREACH (a, &m->agents, struct agent, machine_node)
        LIST_FOREACH (answer, &a->inverse_answers, struct inverse_answer, agent_node)
            n++;
    w->statuses = arena_new_array(arena, Mesos__V1__Allocator__InverseOfferStatus *, n + 1);
    LIST_FOREACH (a, &m->agents, struct agent, machine_node)
        LIST_FOREACH (answer, &a->inverse_answers, struct inverse_answer, agent_node)
            w->statuses[w->n_statuses++] = answer_to_wire(answer, arena);
    return w;
}

Mesos__V1__Maintenance__ClusterStatus *master_core_maintenance_status(
    const struct master_core *core, struct arena *arena)
{
    Mesos__V1__Maintenance__ClusterStatus *w = arena_alloc(arena, sizeof(*w));
    mesos__v1__maintenance__cluster_status__init(w);
    size_t n = map_size(&core->machines);
    w->draining_machines = arena_new_array(
        arena, Mesos__V1__Maintenance__ClusterStatus__DrainingMachine *, n + 1);
    w->down_machines = arena_new_array(arena, MachineID *, n + 1);
    MAP_FOREACH (e, &core->machines) {
        const struct machine *m = e->value;
        if (m->down)
            w->down_machines[w->n_down_machines++] = m->id;
        else
            w->draining_machines[w->n_draining_machines++] = draining_to_wire(m, arena);
    }
    return w;
}

void maintenance_init(struct master_core *core)
{
    core->schedule = NULL;
}

void maintenance_done(struct master_core *core)
{
    free_machines(&core->machines);
    arena_done(&core->schedule_arena);
    map_done(&core->inverse_offers);
}
