#include "agent/core_internal.h"

#include <errno.h>

#include "kernel/operation.h"

/*
 * What operations mean for the disk: folders of persistent volumes that have to be made or emptied.
 *
 * Each such work is a record that is written with the change of resources and dropped when the work
 * is done, so that a restart finishes it. Work on one place goes in order, one after the other: a
 * volume that is created where another is being destroyed waits, and executors that want it wait
 * too. A change of size is no work, but when it comes while the volume is still being made it is
 * noted in the same line: it has finished when the volume is there, and fails when it never will
 * be. An operation has finished when all its work has; when one part of a CREATE fails, the others
 * are undone.
 */

#define SOURCE_TYPE(name) MESOS__V1__RESOURCE__DISK_INFO__SOURCE__TYPE__##name

char *agent_volume_place(const Mesos__V1__Resource *r)
{
    const Mesos__V1__Resource__DiskInfo__Source *source = r->disk ? r->disk->source : NULL;
    const char *role = r->n_reservations ? r->reservations[r->n_reservations - 1]->role : NULL;
    const char *id = r->disk && r->disk->persistence ? r->disk->persistence->id : NULL;
    if (!id || !role)
        return NULL;
    if (!source)
        return xasprintf("root\n%s\n%s", role, id);
    if (source->type == SOURCE_TYPE(MOUNT) && source->mount && source->mount->root)
        return xasprintf("mount\n%s", source->mount->root);
    if (source->type == SOURCE_TYPE(PATH) && source->path && source->path->root)
        return xasprintf("path\n%s\n%s\n%s", source->path->root, role, id);
    return NULL;
}

static char *place_of(const struct resource *r)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    return agent_volume_place(resource_kind_to_wire(r->kind, &arena));
}

static bool is_component(const char *s)
{
    return s[0] && !streq(s, ".") && !streq(s, "..") && !strchr(s, '/');
}

int agent_volumes_acceptable(
    const struct agent_core *core, const struct resources *volumes, struct error *err)
{
    RESOURCES_FOREACH(v, volumes)
    {
        if (!v->kind->persistence_id)
            continue;
        _cleanup_free_ char *place = place_of(v);
        if (!place || !is_component(v->kind->persistence_id))
            return error_set(err, -EINVAL, "Volume '%s' has no place on this agent's disks",
                v->kind->persistence_id);
        RESOURCES_FOREACH(have, &core->total)
        {
            _cleanup_free_ char *other = have->kind->persistence_id ? place_of(have) : NULL;
            if (other && streq(other, place))
                return error_set(
                    err, -EEXIST, "Volume '%s' exists already", v->kind->persistence_id);
        }
    }
    return 0;
}

static struct agent_volume *volume_add(struct agent_core *core, const Mesos__V1__Resource *r,
    enum agent_volume_work work, const uint8_t operation[AGENT_UUID_SIZE])
{
    char *place = agent_volume_place(r);
    if (!place)
        return NULL;
    struct agent_volume *v = xnew(struct agent_volume);
    agent_record_init(core, &v->record, AGENT_RECORD_VOLUME);
    v->place = place;
    v->work = work;
    agent_bytes_pack(&v->resource, &r->base);
    if (operation) {
        v->has_operation = true;
        memcpy(v->operation, operation, AGENT_UUID_SIZE);
    }
    list_push(&core->volumes, &v->node);
    return v;
}

void agent_volume_free(struct agent_volume *v)
{
    list_remove(&v->node);
    list_remove(&v->record.dirty);
    agent_bytes_done(&v->resource);
    free(v->problem);
    free(v->place);
    free(v);
}

static void volume_drop(struct agent_core *core, struct agent_volume *v)
{
    agent_record_drop(core, &v->record);
    agent_volume_free(v);
}

/* The wire form of one volume, with its size. */
static Mesos__V1__Resource *volume_message(const struct resource *r, struct arena *arena)
{
    struct resources one = RESOURCES_INIT;
    resources_add_one(&one, r);
    size_t n;
    Mesos__V1__Resource **list = resources_to_wire(&one, RESOURCES_NO_ALLOCATION, arena, &n);
    resources_done(&one);
    return n ? list[0] : NULL;
}

static bool is_busy(const struct agent_core *core, const struct resource *volume)
{
    _cleanup_free_ char *place = place_of(volume);
    LIST_FOREACH (v, &core->volumes, struct agent_volume, node)
        if (place && streq(v->place, place))
            return true;
    return false;
}

size_t agent_volumes_change(struct agent_core *core, const struct agent_operation *op,
    Mesos__V1__Offer__Operation__Type type, const struct operation_change *change)
{
    enum agent_volume_work work;
    switch (type) {
    case MESOS__V1__OFFER__OPERATION__TYPE__CREATE:
        work = AGENT_VOLUME_MAKE;
        break;
    case MESOS__V1__OFFER__OPERATION__TYPE__DESTROY:
        work = AGENT_VOLUME_REMOVE;
        break;
    case MESOS__V1__OFFER__OPERATION__TYPE__GROW_VOLUME:
    case MESOS__V1__OFFER__OPERATION__TYPE__SHRINK_VOLUME:
        work = AGENT_VOLUME_RESIZE;
        break;
    default:
        return 0;
    }
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    size_t n = 0;
    RESOURCES_FOREACH(r, work == AGENT_VOLUME_REMOVE ? &change->consumed : &change->converted)
    {
        if (!r->kind->persistence_id || (work == AGENT_VOLUME_RESIZE && !is_busy(core, r)))
            continue;
        const Mesos__V1__Resource *m = volume_message(r, &arena);
        struct agent_volume *v = m ? volume_add(core, m, work, op->uuid) : NULL;
        if (!v)
            continue;
        agent_record_dirty(core, &v->record);
        n++;
    }
    return n;
}

/* ---- the work ---- */

/* What is done and waits for the rest of its operation is in the way too: it may be undone. */
static bool is_first_at_place(const struct agent_core *core, const struct agent_volume *v)
{
    LIST_FOREACH (other, &core->volumes, struct agent_volume, node) {
        if (other == v)
            return true;
        if (streq(other->place, v->place))
            return false;
    }
    return true;
}

/* The next thing that is to be done at the same place, or NULL. */
static struct agent_volume *next_at_place(struct agent_core *core, struct agent_volume *v)
{
    for (struct list *l = v->node.next; l != &core->volumes; l = l->next) {
        struct agent_volume *later = container_of(l, struct agent_volume, node);
        if (streq(later->place, v->place))
            return later;
    }
    return NULL;
}

static void make_undone(struct agent_core *core, const struct agent_volume *v)
{
    RESOURCES_FOREACH(have, &core->total)
    {
        _cleanup_free_ char *place = have->kind->persistence_id ? place_of(have) : NULL;
        if (!place || !streq(place, v->place))
            continue;
        /* Whatever size it has by now. */
        struct resources volume = RESOURCES_INIT, disk = RESOURCES_INIT;
        resources_add_one(&volume, have);
        resources_without_persistence(&volume, &disk);
        (void)agent_total_convert(core, &volume, &disk);
        resources_done(&volume);
        resources_done(&disk);
        return; /* the list is another one now */
    }
}

static void remove_undone(struct agent_core *core, const struct agent_volume *v)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    ProtobufCMessage *m;
    if (wire_unpack(
            &mesos__v1__resource__descriptor, &arena, v->resource.p, v->resource.n, &m, NULL) < 0)
        return;
    Mesos__V1__Resource *list[] = {(Mesos__V1__Resource *)m};
    struct resources volume = RESOURCES_INIT, disk = RESOURCES_INIT;
    if (resources_from_wire(list, 1, &volume, NULL) >= 0) {
        resources_without_persistence(&volume, &disk);
        (void)agent_total_convert(core, &disk, &volume); /* given away already: it is no more */
    }
    resources_done(&volume);
    resources_done(&disk);
}

static bool same_operation(const struct agent_volume *a, const struct agent_volume *b)
{
    return a->has_operation && b->has_operation &&
           memcmp(a->operation, b->operation, AGENT_UUID_SIZE) == 0;
}

/* The data is still there. A new volume at its place must not get it: that fails as well, and the
 * old volume is back. Only when the place is to be emptied once more it goes on. */
static void removal_failed(struct agent_core *core, struct agent_volume *v)
{
    struct agent_volume *next = next_at_place(core, v), *last = next;
    for (struct agent_volume *l = next; l; l = next_at_place(core, l))
        last = l;
    if (last && last->work == AGENT_VOLUME_REMOVE)
        return;
    for (struct agent_volume *l = next; l; l = next_at_place(core, l)) {
        if (l->done)
            continue;
        l->done = l->undone = true;
        l->problem = xasprintf("What was at its place could not be removed: %s", v->problem);
    }
    if (next)
        make_undone(core, next);
    remove_undone(core, v);
}

/* One part of a failed operation. What comes after it at the same place speaks of another volume,
 * but for changes of size: those fail too. */
static void undo(struct agent_core *core, struct agent_volume *v)
{
    struct agent_volume *next = next_at_place(core, v);
    if (v->work == AGENT_VOLUME_REMOVE && v->problem)
        removal_failed(core, v);
    if (v->work != AGENT_VOLUME_MAKE || v->undone)
        return;
    for (; next && next->work == AGENT_VOLUME_RESIZE; next = next_at_place(core, next)) {
        next->done = true;
        next->problem = xstrdup("The volume could not be made");
    }
    if (next)
        return; /* destroyed already, which also empties the place */
    make_undone(core, v);
    if (v->problem)
        return;
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    ProtobufCMessage *m;
    struct agent_volume *removal = NULL;
    if (wire_unpack(
            &mesos__v1__resource__descriptor, &arena, v->resource.p, v->resource.n, &m, NULL) >= 0)
        removal = volume_add(core, (Mesos__V1__Resource *)m, AGENT_VOLUME_REMOVE, NULL);
    if (removal)
        agent_record_dirty(core, &removal->record);
}

/* All of an operation's work is over: says so, and undoes what a failed CREATE did. */
static void conclude(struct agent_core *core, struct agent_volume *last)
{
    struct agent_operation *op = last->has_operation ? agent_core_operation(core, last->operation)
                                                     : NULL;
    const char *problem = NULL;
    LIST_FOREACH (v, &core->volumes, struct agent_volume, node) {
        if (v != last && !same_operation(v, last))
            continue;
        if (!v->done)
            return;
        if (v->problem && !problem)
            problem = v->problem;
    }
    if (problem)
        LIST_FOREACH_SAFE (v, &core->volumes, struct agent_volume, node)
            if (v == last || same_operation(v, last))
                undo(core, v);
    if (op)
        agent_operation_end(core, op,
            problem ? MESOS__V1__OPERATION_STATE__OPERATION_FAILED
                    : MESOS__V1__OPERATION_STATE__OPERATION_FINISHED,
            problem);
    /* After the status: what is under way the master puts on top of a total. */
    if (problem)
        agent_core_send_total(core);
    LIST_FOREACH_SAFE (v, &core->volumes, struct agent_volume, node)
        if (v != last && same_operation(v, last))
            volume_drop(core, v);
    volume_drop(core, last);
}

/* All parts of its operation are over, so that conclude() ends it. */
static bool is_over(const struct agent_core *core, const struct agent_volume *v)
{
    LIST_FOREACH (other, &core->volumes, struct agent_volume, node)
        if ((other == v || same_operation(other, v)) && !other->done)
            return false;
    return true;
}

/* Something that only waited for its turn, or failed with what it waited for. */
static struct agent_volume *next_without_work(struct agent_core *core)
{
    LIST_FOREACH (v, &core->volumes, struct agent_volume, node) {
        if (v->work == AGENT_VOLUME_RESIZE && (v->done || is_first_at_place(core, v)))
            return v;
        if (v->undone && is_over(core, v))
            return v;
    }
    return NULL;
}

void agent_volumes_issue(struct agent_core *core)
{
    struct agent_volume *over;
    while ((over = next_without_work(core))) {
        over->done = true;
        conclude(core, over);
    }
    LIST_FOREACH (v, &core->volumes, struct agent_volume, node) {
        if (v->issued || v->done || !is_first_at_place(core, v))
            continue;
        v->issued = true;
        struct agent_effect *e = agent_core_effect(
            core, v->work == AGENT_VOLUME_REMOVE ? AGENT_VOLUME_DESTROY : AGENT_VOLUME_CREATE);
        e->number = v->record.serial;
        buf_append(&e->bytes, v->resource.p, v->resource.n);
    }
}

void agent_core_volume_done(
    struct agent_core *core, const struct agent_now *now, uint64_t number, const char *problem)
{
    agent_core_begin(core, now);
    LIST_FOREACH (v, &core->volumes, struct agent_volume, node) {
        if (v->record.serial != number || v->done)
            continue;
        v->done = true;
        v->problem = problem ? xstrdup(problem) : NULL;
        conclude(core, v);
        break;
    }
    agent_volumes_issue(core);
    MAP_FOREACH (entry, &core->containers) {
        struct agent_executor *e = entry->value;
        if (e->held)
            agent_executor_drop_lacking(core, e);
        if (e->held && e->state == AGENT_EXECUTOR_REGISTERING)
            agent_executor_launch(core, e);
        else if (e->held && e->state == AGENT_EXECUTOR_RUNNING)
            agent_executor_hand_over(core, e);
    }
}

void agent_volumes_start(struct agent_core *core)
{
    LIST_FOREACH_SAFE (v, &core->volumes, struct agent_volume, node) {
        bool wanted = false;
        RESOURCES_FOREACH(have, &core->total)
        {
            _cleanup_free_ char *place = have->kind->persistence_id ? place_of(have) : NULL;
            wanted = wanted || (place && streq(place, v->place));
        }
        for (struct list *l = v->node.next; l != &core->volumes && wanted; l = l->next) {
            const struct agent_volume *later = container_of(l, struct agent_volume, node);
            if (later->work == AGENT_VOLUME_MAKE && streq(later->place, v->place))
                wanted = false; /* the volume there is the one that comes after it */
        }
        /* Its batch reached the disk in part, without the change of resources. */
        if (v->work == AGENT_VOLUME_REMOVE && wanted)
            volume_drop(core, v);
    }
    agent_volumes_issue(core);
}

/* ---- who waits for it ---- */

static bool list_waits(const struct agent_core *core, Mesos__V1__Resource *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        _cleanup_free_ char *place = list[i]->disk && list[i]->disk->persistence
                                         ? agent_volume_place(list[i])
                                         : NULL;
        if (!place)
            continue;
        LIST_FOREACH (v, &core->volumes, struct agent_volume, node)
            if (v->work == AGENT_VOLUME_MAKE && !v->issued && !v->done && streq(v->place, place))
                return true;
    }
    return false;
}

bool agent_executor_waits_for_volumes(const struct agent_core *core, const struct agent_executor *e)
{
    if (list_empty(&core->volumes))
        return false;
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    ProtobufCMessage *m;
    if (wire_unpack(
            &mesos__v1__executor_info__descriptor, &arena, e->info.p, e->info.n, &m, NULL) >= 0) {
        const Mesos__V1__ExecutorInfo *info = (const Mesos__V1__ExecutorInfo *)m;
        if (list_waits(core, info->resources, info->n_resources))
            return true;
    }
    LIST_FOREACH (t, &e->tasks, struct agent_task, node) {
        if (wire_unpack(&mesos__v1__task__descriptor, &arena, t->task.p, t->task.n, &m, NULL) < 0)
            continue;
        const Mesos__V1__Task *task = (const Mesos__V1__Task *)m;
        if (list_waits(core, task->resources, task->n_resources))
            return true;
    }
    return false;
}

/* ---- disk ---- */

int agent_volume_restore(struct agent_core *core, uint64_t serial, const Mesos__V1__Resource *r,
    enum agent_volume_work work, const uint8_t *operation, struct error *err)
{
    struct agent_volume *v = volume_add(core, r, work, operation);
    if (!v)
        return error_set(err, -EBADMSG, "a volume has no place");
    v->record.serial = serial;
    v->record.stored = true;
    return 0;
}
