#include "marathon/core_internal.h"

#include "base/str.h"

void out_item_done(struct out_item *item)
{
    free(item->key);
    free(item->text);
    if (item->probe) {
        free(item->probe->host);
        free(item->probe->path);
        free(item->probe);
    }
    *item = (struct out_item){0};
}

void out_put(struct core *c, const char *key, struct buf *value)
{
    vec_push(
        &c->out, (struct out_item){.type = OUT_PUT, .key = xstrdup(key), .text = buf_steal(value)});
}

void out_delete(struct core *c, const char *key)
{
    vec_push(&c->out, (struct out_item){.type = OUT_DELETE, .key = xstrdup(key)});
}

void out_call(struct core *c, json_t *call)
{
    struct buf text = BUF_INIT;
    json_dump(call, &text);
    json_decref(call);
    vec_push(&c->out, (struct out_item){.type = OUT_CALL, .text = buf_steal(&text)});
}

void timer_at(struct core *c, struct core_timer *t, int64_t at_us,
    void (*fn)(struct core *c, struct core_timer *t))
{
    timer_cancel(c, t);
    t->fn = fn;
    heap_push(&c->timers, &t->node, at_us);
}

void timer_cancel(struct core *c, struct core_timer *t)
{
    heap_remove(&c->timers, &t->node);
}

int64_t core_next_deadline(const struct core *c)
{
    const struct heap_node *n = heap_min(&c->timers);
    return n ? n->key : INT64_MAX;
}

void core_tick(struct core *c, int64_t now_us)
{
    c->now_us = now_us;
    for (;;) {
        struct heap_node *n = heap_min(&c->timers);
        if (!n || n->key > now_us)
            break;
        heap_remove(&c->timers, n);
        struct core_timer *t = container_of(n, struct core_timer, node);
        t->fn(c, t);
    }
    core_settle(c);
}
