#include "world.h"

#include <assert.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/str.h"
#include "marathon/core_internal.h"

enum { SETTLE_STEPS = 100000 };

struct record {
    char *key, *value;
};

static void record_free(struct record *r)
{
    if (!r)
        return;
    free(r->key);
    free(r->value);
    free(r);
}

static int by_key(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void start(struct world *w)
{
    size_t n = 0;
    char **keys = xnew_array(char *, map_size(&w->store) + 1);
    w->core = core_new(&w->options, rng_next(&w->rng));
    MAP_FOREACH (e, &w->store)
        keys[n++] = (char *)(uintptr_t)e->key;
    qsort(keys, n, sizeof(*keys), by_key);
    for (size_t i = 0; i < n; i++) {
        struct error err = ERROR_INIT;
        const struct record *r = map_get(&w->store, keys[i]);
        if (core_load(w->core, keys[i], str_of(r->value), &err) < 0) {
            fprintf(stderr, "%s\n", err.msg);
            abort();
        }
    }
    free(keys);
    core_loaded(w->core, w->now_us);
    core_subscribed(w->core, "F-0001", "m:5050", w->now_us);
    w->suppressed = false;
}

void world_init(struct world *w, uint64_t seed)
{
    *w = (struct world){.now_us = INT64_C(1700000000000000)};
    rng_init(&w->rng, seed);
    w->app_options = (struct app_options){NULL, "mesos-bridge"};
    w->options = (struct core_options){.framework_name = "marathon",
        .hostname = "m",
        .mesos_role = "*",
        .mesos_user = "root",
        .executor = "//cmd",
        .app = &w->app_options,
        .local_port_min = 10000,
        .local_port_max = 20000,
        .max_versions = 10,
        .max_running_deployments = 100,
        .max_instances_per_offer = 5,
        .launch_tokens = 1000,
        .launch_token_interval_us = 30 * USEC_PER_SEC,
        .decline_us = 120 * USEC_PER_SEC,
        .min_revive_us = USEC_PER_SEC,
        .reconcile_delay_us = 15 * USEC_PER_SEC,
        .reconcile_interval_us = 600 * USEC_PER_SEC,
        .scale_delay_us = 15 * USEC_PER_SEC,
        .scale_interval_us = 300 * USEC_PER_SEC,
        .confirm_timeout_us = 300 * USEC_PER_SEC,
        .launch_timeout_us = 300 * USEC_PER_SEC,
        .kill_retry_us = 30 * USEC_PER_SEC,
        .expunge_delay_us = 300 * USEC_PER_SEC,
        .expunge_interval_us = 30 * USEC_PER_SEC};
    start(w);
    world_pump(w, -1);
}

static void task_free(struct world_task *t)
{
    free(t->id);
    free(t->instance);
    free(t->version);
    free(t);
}

void world_done(struct world *w)
{
    core_free(w->core);
    MAP_FOREACH (e, &w->store)
        record_free(e->value);
    MAP_FOREACH (e, &w->tasks)
        task_free(e->value);
    map_done(&w->store);
    map_done(&w->tasks);
}

static void put(struct world *w, const char *key, const char *value)
{
    struct record *r = xnew(struct record);
    r->key = xstrdup(key);
    r->value = xstrdup(value);
    record_free(map_put(&w->store, r->key, r));
}

static void update(struct world *w, const char *task_id, const char *state, const char *reason)
{
    struct core_status st = {
        .task_id = task_id, .state = state, .reason = reason, .agent_id = "S0", .healthy = -1};
    core_status(w->core, &st, w->now_us);
}

static const char *env_of(const json_t *task, const char *name)
{
    const json_t *vars = json_at(json_at(json_at(task, "command"), "environment"), "variables");
    for (size_t i = 0; i < json_array_size(vars); i++)
        if (streq(json_str_at(json_array_get(vars, i), "name", ""), name))
            return json_str_at(json_array_get(vars, i), "value", "");
    return "";
}

static void launch(struct world *w, const json_t *task)
{
    const char *id = json_str_at(json_at(task, "task_id"), "value", "");
    const char *marker = strstr(id, "._app.");
    assert(marker && !map_get(&w->tasks, id) && "a task id is used once");
    struct world_task *t = xnew(struct world_task);
    t->id = xstrdup(id);
    t->instance = xstrndup(id, (size_t)(marker - id));
    t->version = xstrdup(env_of(task, "MARATHON_APP_VERSION"));
    MAP_FOREACH (e, &w->tasks) {
        const struct world_task *other = e->value;
        assert(
            (other->state == 3 || !streq(other->instance, t->instance)) && "an instance runs once");
    }
    map_put(&w->tasks, t->id, t);
    w->launched++;
}

static void call(struct world *w, const char *text)
{
    _cleanup_json_ json_t *j = json_loads(text, 0, NULL);
    const char *type = json_str_at(j, "type", "");
    assert(j);
    if (streq(type, "SUPPRESS") || streq(type, "REVIVE")) {
        w->suppressed = streq(type, "SUPPRESS");
    } else if (streq(type, "ACCEPT")) {
        const json_t *op = json_array_get(json_at(json_at(j, "accept"), "operations"), 0);
        const json_t *tasks = json_at(json_at(op, "launch"), "task_infos");
        for (size_t i = 0; i < json_array_size(tasks); i++)
            launch(w, json_array_get(tasks, i));
    } else if (streq(type, "KILL")) {
        const json_t *kill = json_at(j, "kill");
        struct world_task *t = map_get(
            &w->tasks, json_str_at(json_at(kill, "task_id"), "value", ""));
        if (t && t->state < 2)
            t->state = 2;
    } else if (streq(type, "RECONCILE")) {
        static const char *const names[] = {"TASK_STAGING", "TASK_RUNNING", "TASK_RUNNING"};
        const json_t *tasks = json_at(json_at(j, "reconcile"), "tasks");
        for (size_t i = 0; i < json_array_size(tasks); i++) {
            const char *id = json_str_at(json_at(json_array_get(tasks, i), "task_id"), "value", "");
            const struct world_task *t = map_get(&w->tasks, id);
            bool gone = !t || t->state == 3;
            update(w, id, gone ? "TASK_GONE" : names[t->state], "REASON_RECONCILIATION");
        }
    }
}

void world_crash(struct world *w)
{
    core_free(w->core);
    start(w);
}

void world_pump(struct world *w, ssize_t crash_after)
{
    while (w->core->out.n > 0) {
        out_vec out = w->core->out;
        w->core->out = (out_vec){0};
        bool crash = false;
        for (size_t i = 0; i < out.n; i++) {
            struct out_item *o = &out.items[i];
            crash = crash || crash_after == (ssize_t)i;
            if (!crash && o->type == OUT_PUT) {
                put(w, o->key, o->text);
            } else if (!crash && o->type == OUT_DELETE) {
                record_free(map_remove(&w->store, o->key));
            } else if (!crash && o->type == OUT_CALL) {
                call(w, o->text);
            }
            out_item_done(o);
        }
        vec_done(&out);
        if (crash) {
            world_crash(w);
            crash_after = -1;
        }
    }
}

int world_request(
    struct world *w, enum http_method m, const char *path, const char *body, char **ret)
{
    static const struct api_info info = {.version = "0", .address = "m:8080"};
    struct arena arena = ARENA_INIT;
    struct api_reply reply = {0};
    const char *query = strchr(path, '?');
    char *plain = query ? xstrndup(path, (size_t)(query - path)) : xstrdup(path);
    struct api_request req = {.method = m,
        .path = plain,
        .body = str_of(body ? body : ""),
        .remote = "c",
        .uri = path,
        .now_us = w->now_us};
    assert(!query || http_params_parse(str_of(query + 1), &arena, &req.params) == 0);
    api_handle(w->core, &info, &req, &reply);
    int status = reply.status;
    if (ret)
        *ret = xstrdup(buf_cstr(&reply.body));
    api_reply_done(&reply);
    arena_done(&arena);
    free(plain);
    return status;
}

void world_offer(struct world *w)
{
    if (w->suppressed)
        return;
    char id[32];
    snprintf(id, sizeof(id), "O%llu", (unsigned long long)w->offers++);
    json_t *forms[] = {json_pack("{s:s,s:s}", "name", "cpus", "type", "SCALAR"),
        json_pack("{s:s,s:s}", "name", "mem", "type", "SCALAR"),
        json_pack("{s:s,s:s}", "name", "ports", "type", "RANGES")};
    struct offer o = {
        .id = id, .agent_id = "S0", .hostname = "h0", .role = "*", .local_region = true};
    json_t *attributes = json_array();
    o.attributes = attributes;
    static const char *const names[] = {"cpus", "mem", "ports"};
    for (size_t i = 0; i < 3; i++)
        vec_push(&o.resources, (struct offer_resource){.name = names[i],
                                   .role = "*",
                                   .usable = true,
                                   .milli = INT64_C(1000000000),
                                   .form = forms[i]});
    vec_push(&o.resources.items[2].ranges, (struct port_range){31000, 32000});
    core_offer(w->core, &o, w->now_us);
    VEC_FOREACH (r, &o.resources)
        vec_done(&r->ranges);
    vec_done(&o.resources);
    for (size_t i = 0; i < 3; i++)
        json_decref(forms[i]);
    json_decref(attributes);
}

bool world_step_task(struct world *w, bool fail)
{
    VEC(struct world_task *) can = {0};
    MAP_FOREACH (e, &w->tasks) {
        struct world_task *t = e->value;
        if (t->state == 0 || t->state == 2 || (fail && t->state == 1))
            vec_push(&can, t);
    }
    bool any = can.n > 0;
    if (any) {
        struct world_task *t = can.items[rng_below(&w->rng, can.n)];
        int was = t->state;
        t->state = was == 0 ? 1 : 3;
        update(w, t->id,
            was == 0   ? "TASK_RUNNING"
            : was == 2 ? "TASK_KILLED"
                       : "TASK_FAILED",
            NULL);
    }
    vec_done(&can);
    return any;
}

/* The agent says again what its tasks do, as it does until it is acknowledged. */
void world_reconcile(struct world *w)
{
    static const char *const names[] = {"TASK_STAGING", "TASK_RUNNING", "TASK_RUNNING"};
    size_t n = map_size(&w->tasks), k = 0;
    char **ids = xnew_array(char *, n + 1);
    MAP_FOREACH (e, &w->tasks) {
        const struct world_task *t = e->value;
        if (t->state < 3)
            ids[k++] = xstrdup(t->id);
    }
    for (size_t i = 0; i < k; i++) {
        const struct world_task *t = map_get(&w->tasks, ids[i]);
        update(w, ids[i], names[t->state], "REASON_RECONCILIATION");
        free(ids[i]);
    }
    free(ids);
    w->now_us += 16 * USEC_PER_SEC; /* and the core asks for what it knows */
    core_tick(w->core, w->now_us);
    world_pump(w, -1);
}

void world_settle(struct world *w)
{
    for (int i = 0; i < SETTLE_STEPS; i++) {
        w->now_us += 2 * USEC_PER_SEC;
        core_tick(w->core, w->now_us);
        world_offer(w);
        world_pump(w, -1);
        while (world_step_task(w, false))
            world_pump(w, -1);
        if (map_size(&w->core->deployments) == 0 && list_empty(&w->core->ready))
            return;
    }
    assert(!"the world does not come to rest");
}

size_t world_live(const struct world *w, const char *version)
{
    size_t n = 0;
    MAP_FOREACH (e, &w->tasks) {
        const struct world_task *t = e->value;
        n += t->state < 3 && (!version || streq(t->version, version));
    }
    return n;
}

size_t world_running(const struct world *w)
{
    size_t n = 0;
    MAP_FOREACH (e, &w->tasks)
        n += ((const struct world_task *)e->value)->state == 1;
    return n;
}
