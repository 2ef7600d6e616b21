/*
 * The pump between core and world. Store operations are cut into batches in their order; an effect
 * goes out when the batch of the last operation before it is durable.
 */

#include "marathon/shell.h"

#include <errno.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"

int64_t shell_now(const struct shell *s)
{
    return s->start_real_us + (clock_monotonic_us() - s->start_mono_us);
}

void shell_wake(struct shell *s)
{
    loop_defer(s->loop, &s->pump);
}

void shell_fail(struct shell *s, const char *what, const char *why)
{
    if (!s->failure)
        log_error("%s error=%s, ending", what, why);
    s->failure = 1;
    s->stopping = true;
    loop_stop(s->loop);
}

static void release(struct shell *s, struct out_item *item)
{
    switch (item->type) {
    case OUT_EVENT:
        events_publish(s, item->key, item->text);
        break;
    case OUT_CALL:
        mesos_call(s, item->text);
        break;
    case OUT_REPLY:
        server_reply(s, item->context);
        break;
    case OUT_PROBE:
        prober_start(s, item->probe);
        break;
    case OUT_PUT:
    case OUT_DELETE:
        break;
    }
    out_item_done(item);
}

static void release_held(struct shell *s)
{
    while (!list_empty(&s->held)) {
        struct held *h = list_first(&s->held, struct held, node);
        if (h->batch > s->committed)
            break;
        list_remove(&h->node);
        release(s, &h->item);
        free(h);
    }
}

static void on_commit(int status, ssize_t failed_op, const int64_t *new_versions, void *userdata)
{
    struct shell *s = userdata;
    if (status < 0) {
        /* What the core holds in memory is not what is stored: going on would lie. */
        shell_fail(s, "cannot store", store_failure(s->store));
        return;
    }
    s->committed++;
    if (!s->stopping)
        release_held(s);
}

struct batch {
    VEC(struct store_op) ops;
    struct map by_key; /* key -> op number + 1: a later write of a key replaces the earlier */
    size_t bytes;
};

static void flush(struct shell *s, struct batch *b)
{
    struct error err = ERROR_INIT;
    if (b->ops.n > 0 && !s->stopping) {
        int r = store_commit(s->store, b->ops.items, b->ops.n, on_commit, s, &err);
        if (r < 0)
            shell_fail(s, "cannot store", err.msg);
        else
            s->issued++;
    }
    vec_clear(&b->ops);
    map_clear(&b->by_key);
    b->bytes = 0;
}

static void add(struct shell *s, struct batch *b, const struct out_item *item)
{
    size_t n = item->text ? strlen(item->text) : 0;
    struct store_op op = {.type = item->type == OUT_PUT ? STORE_PUT : STORE_DELETE,
        .key = item->key,
        .value = item->text,
        .n = n,
        .version = STORE_ANY_VERSION};
    uintptr_t known = (uintptr_t)map_get(&b->by_key, item->key);
    size_t size = store_op_size(item->key, n);
    if (b->ops.n > 0 && (b->ops.n >= STORE_BATCH_OPS_MAX || b->bytes + size > STORE_BATCH_MAX)) {
        flush(s, b);
        known = 0;
    }
    if (known > 0) {
        b->bytes += n;
        b->ops.items[known - 1] = op;
        return;
    }
    b->bytes += size;
    vec_push(&b->ops, op);
    map_put(&b->by_key, item->key, (void *)(uintptr_t)b->ops.n);
}

static void arm_timer(struct shell *s)
{
    int64_t at = core_next_deadline(s->core);
    if (at == INT64_MAX)
        timer_stop(&s->timer);
    else
        timer_start(&s->timer, at - shell_now(s));
}

static void pump(struct deferred *d)
{
    struct shell *s = container_of(d, struct shell, pump);
    if (!store_confirm(s->store))
        return; /* another Marathon may lead; store_on_lost() ends this one */
    struct batch b = {0};
    out_vec out = s->core->out;
    s->core->out = (out_vec){0};
    VEC_FOREACH (item, &out) {
        if (item->type == OUT_PUT || item->type == OUT_DELETE) {
            add(s, &b, item);
            continue;
        }
        struct held *h = xnew(struct held);
        h->batch = s->issued + (b.ops.n > 0);
        h->item = *item;
        *item = (struct out_item){.type = OUT_EVENT};
        list_push(&s->held, &h->node);
    }
    flush(s, &b);
    vec_done(&b.ops);
    map_done(&b.by_key);
    VEC_FOREACH (item, &out)
        out_item_done(item);
    vec_done(&out);
    if (s->stopping)
        return;
    release_held(s);
    arm_timer(s);
}

static void on_timer(struct timer *t)
{
    struct shell *s = container_of(t, struct shell, timer);
    core_tick(s->core, shell_now(s));
    shell_wake(s);
}

/* ---- loading ---- */

struct loading {
    struct shell *shell;
    char last[STORE_KEY_MAX + 1];
    size_t n;
    int failed;
    struct error err;
};

static bool load_one(const struct store_entry *e, void *userdata)
{
    struct loading *l = userdata;
    l->failed = core_load(l->shell->core, e->key, e->value, &l->err);
    snprintf(l->last, sizeof(l->last), "%s", e->key);
    l->n++;
    return l->failed >= 0;
}

int shell_load(struct shell *s)
{
    static const char *const prefixes[] = {
        "app/", "change/", "changehead/", "failure/", "framework", "group/", "instance/"};
    enum { PAGE = 1000 };
    size_t total = 0;
    deferred_init(&s->pump, pump);
    timer_init(&s->timer, s->loop, on_timer);
    list_init(&s->held);
    for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++) {
        struct loading l = {.shell = s};
        int n;
        do {
            n = store_list(
                s->store, prefixes[i], l.last[0] ? l.last : NULL, PAGE, load_one, &l, &l.err);
            if (n < 0 || l.failed < 0) {
                shell_fail(s, "cannot load state", l.err.msg);
                return -EIO;
            }
        } while (n == PAGE);
        total += l.n;
    }
    core_loaded(s->core, shell_now(s));
    s->loaded = true;
    log_info("state is loaded records=%zu apps=%zu instances=%zu deployments=%zu", total,
        s->core->n_apps, map_size(&s->core->instances), map_size(&s->core->deployments));
    shell_wake(s);
    return 0;
}
