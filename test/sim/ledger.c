/*
 * Every status update that an executor made: agents must not forget what they acknowledged, and a
 * task's updates must reach its scheduler in the order they were made. Updates that agents make
 * themselves are not in it: they may take the place of what an executor never got rid of.
 */

#include <inttypes.h>
#include <string.h>

#include "world.h"

struct ledger_task {
    unsigned made, seen; /* numbers of the newest */
    char key[];
};

struct ledger_update {
    char uuid[UUID_TEXT_SIZE];
    struct ledger_task *task;
    unsigned number; /* from 1 */
    unsigned agent;
    bool promised, seen, given_up;
};

void ledger_made(
    struct world *w, const struct sim_agent *a, const char *key, const uint8_t uuid[16])
{
    struct ledger_task *t = map_get(&w->ledger_tasks, key);
    if (!t) {
        size_t n = strlen(key) + 1;
        t = xcalloc(1, sizeof(*t) + n);
        memcpy(t->key, key, n);
        map_put(&w->ledger_tasks, t->key, t);
    }
    struct ledger_update *u = xnew(struct ledger_update);
    uuid_format(uuid, u->uuid);
    u->task = t;
    u->number = ++t->made;
    u->agent = a->index;
    map_put(&w->ledger, u->uuid, u);
}

static struct ledger_update *find(struct world *w, const uint8_t uuid[16])
{
    char text[UUID_TEXT_SIZE];
    uuid_format(uuid, text);
    return map_get(&w->ledger, text);
}

void ledger_promised(struct world *w, const uint8_t uuid[16])
{
    struct ledger_update *u = find(w, uuid);
    if (!u)
        sim_fail(w, "an update was acknowledged that no executor made");
    u->promised = true;
}

void ledger_seen(
    struct world *w, const char *framework_id, const char *task_id, const ProtobufCBinaryData *uuid)
{
    struct ledger_update *u = uuid->len == 16 ? find(w, uuid->data) : NULL;
    if (!u)
        return;
    _cleanup_free_ char *key = xasprintf("%s/%s", framework_id, task_id);
    if (!streq(key, u->task->key))
        sim_fail(w, "an update of %s arrives as one of %s", u->task->key, key);
    if (u->number != u->task->seen && u->number != u->task->seen + 1)
        sim_fail(w, "update %u of %s arrives after update %u", u->number, key, u->task->seen);
    u->task->seen = u->number;
    u->seen = true;
}

void ledger_give_up(struct world *w, const struct sim_agent *a)
{
    MAP_FOREACH (e, &w->ledger) {
        struct ledger_update *u = e->value;
        if (u->agent == a->index && !u->seen)
            u->given_up = true;
    }
}

void ledger_settled(struct world *w)
{
    MAP_FOREACH (e, &w->ledger) {
        const struct ledger_update *u = e->value;
        if (!u->promised || u->seen || u->given_up)
            continue;
        _cleanup_free_ char *framework_id = xstrdup(u->task->key);
        *strchr(framework_id, '/') = '\0';
        /* Nobody is there to be told once the framework is gone. */
        if (sim_owner(w, framework_id))
            sim_fail(w, "update %u of %s was acknowledged and never reached its scheduler",
                u->number, u->task->key);
    }
}

void ledger_free(struct world *w)
{
    MAP_FOREACH (e, &w->ledger)
        free(e->value);
    map_done(&w->ledger);
    MAP_FOREACH (t, &w->ledger_tasks)
        free(t->value);
    map_done(&w->ledger_tasks);
}
