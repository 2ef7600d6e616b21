#include "store/memory.h"

#include <errno.h>
#include <pthread.h>

#include "base/alloc.h"
#include "base/vec.h"
#include "store/backend.h"

struct entry {
    char *key;
    int64_t version;
    size_t n;
    char *value;
};

/* What stores of the same name share. Everything under the mutex. */
struct memory {
    struct list node;
    char *name;
    unsigned refs;
    pthread_mutex_t mutex;
    pthread_cond_t changed;      /* leader gone, or hold ended */
    VEC(struct entry *) entries; /* by key */
    int64_t counter;
    int64_t epoch;
    const void *leader;
    char *info;
};

struct memory_store {
    struct store_backend backend;
    struct memory *memory;
    unsigned fail_in; /* flushes until the one that fails, 0 = none */
    int fail_status;
    bool hold, cancelled;
};

static pthread_mutex_t g_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct list g_memories = {&g_memories, &g_memories};

/* ---- entries ---- */

/* Index of the first entry not before key. */
static size_t lower_bound(const struct memory *m, const char *key)
{
    size_t low = 0, high = m->entries.n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(m->entries.items[middle]->key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct entry *find(const struct memory *m, const char *key)
{
    size_t i = lower_bound(m, key);
    return i < m->entries.n && streq(m->entries.items[i]->key, key) ? m->entries.items[i] : NULL;
}

static void entry_free(struct entry *e)
{
    free(e->key);
    free(e->value);
    free(e);
}

static void put(struct memory *m, const struct store_op *op, int64_t version)
{
    struct entry *e = find(m, op->key);
    if (!e) {
        size_t i = lower_bound(m, op->key);
        e = xnew(struct entry);
        e->key = xstrdup(op->key);
        vec_push(&m->entries, e);
        struct entry **at = m->entries.items + i;
        memmove(at + 1, at, (m->entries.n - 1 - i) * sizeof(*at));
        *at = e;
    }
    free(e->value);
    e->value = xmalloc(op->n + 1);
    memcpy(e->value, op->value, op->n);
    e->value[op->n] = '\0';
    e->n = op->n;
    e->version = version;
}

static void drop(struct memory *m, const char *key)
{
    struct entry *e = find(m, key);
    if (!e)
        return;
    vec_remove(&m->entries, lower_bound(m, key));
    entry_free(e);
}

/* ---- writing ---- */

/* Version of a key as the batch itself sees it after its first `upto` operations. */
static int64_t version_within(const struct memory *m, const struct store_batch *batch, size_t upto)
{
    const char *key = batch->ops[upto].key;
    for (size_t i = upto; i-- > 0;) {
        if (batch->ops[i].type == STORE_CHECK || !streq(batch->ops[i].key, key))
            continue;
        return batch->ops[i].type == STORE_PUT ? m->counter + (int64_t)i + 1 : STORE_ABSENT;
    }
    const struct entry *e = find(m, key);
    return e ? e->version : STORE_ABSENT;
}

static void apply(struct memory *m, struct store_batch *batch)
{
    batch->status = 0;
    batch->failed_op = -1;
    if (batch->epoch != 0 && (int64_t)batch->epoch != m->epoch) {
        batch->status = -EAGAIN;
        return;
    }
    for (size_t i = 0; i < batch->n; i++) {
        int64_t expected = batch->ops[i].version;
        if (expected != STORE_ANY_VERSION && expected != version_within(m, batch, i)) {
            batch->status = -EAGAIN;
            batch->failed_op = (ssize_t)i;
            return;
        }
    }
    for (size_t i = 0; i < batch->n; i++) {
        if (batch->ops[i].type == STORE_PUT) {
            batch->new_versions[i] = m->counter + (int64_t)i + 1;
            put(m, &batch->ops[i], batch->new_versions[i]);
        } else if (batch->ops[i].type == STORE_DELETE) {
            drop(m, batch->ops[i].key);
        }
    }
    m->counter += (int64_t)batch->n;
}

static int memory_flush(struct store_backend *b, struct list *batches, struct error *err)
{
    struct memory_store *s = container_of(b, struct memory_store, backend);
    struct memory *m = s->memory;
    pthread_mutex_lock(&m->mutex);
    while (s->hold)
        pthread_cond_wait(&m->changed, &m->mutex);
    int r = 0;
    if (s->fail_in > 0 && --s->fail_in == 0)
        r = error_errno(err, s->fail_status, "memory:%s", m->name);
    else
        LIST_FOREACH (batch, batches, struct store_batch, node)
            apply(m, batch);
    pthread_mutex_unlock(&m->mutex);
    return r;
}

void store_memory_fail(struct store *s, unsigned nth, int status)
{
    struct memory_store *ms = container_of(store_backend(s), struct memory_store, backend);
    pthread_mutex_lock(&ms->memory->mutex);
    ms->fail_in = status < 0 ? nth : 0;
    ms->fail_status = status;
    pthread_mutex_unlock(&ms->memory->mutex);
}

void store_memory_hold(struct store *s, bool hold)
{
    struct memory_store *ms = container_of(store_backend(s), struct memory_store, backend);
    pthread_mutex_lock(&ms->memory->mutex);
    ms->hold = hold;
    pthread_cond_broadcast(&ms->memory->changed);
    pthread_mutex_unlock(&ms->memory->mutex);
}

/* ---- leadership ---- */

static int memory_lock(struct store_backend *b, const char *info, struct error *err)
{
    struct memory_store *s = container_of(b, struct memory_store, backend);
    struct memory *m = s->memory;
    pthread_mutex_lock(&m->mutex);
    while (m->leader && !s->cancelled)
        pthread_cond_wait(&m->changed, &m->mutex);
    int r = s->cancelled ? -ECANCELED : 0;
    if (r == 0)
        m->leader = s;
    pthread_mutex_unlock(&m->mutex);
    return r;
}

static void memory_cancel_lock(struct store_backend *b)
{
    struct memory_store *s = container_of(b, struct memory_store, backend);
    pthread_mutex_lock(&s->memory->mutex);
    s->cancelled = true;
    pthread_cond_broadcast(&s->memory->changed);
    pthread_mutex_unlock(&s->memory->mutex);
}

static int memory_lead(
    struct store_backend *b, const char *info, uint64_t *ret_epoch, struct error *err)
{
    struct memory_store *s = container_of(b, struct memory_store, backend);
    pthread_mutex_lock(&s->memory->mutex);
    while (s->hold)
        pthread_cond_wait(&s->memory->changed, &s->memory->mutex);
    free(s->memory->info);
    s->memory->info = xstrdup(info);
    *ret_epoch = (uint64_t)++s->memory->epoch;
    pthread_mutex_unlock(&s->memory->mutex);
    return 0;
}

static int memory_leader_info(
    struct store_backend *b, bool leading, struct buf *ret, struct error *err)
{
    struct memory_store *s = container_of(b, struct memory_store, backend);
    pthread_mutex_lock(&s->memory->mutex);
    if (s->memory->leader && s->memory->info)
        buf_puts(ret, s->memory->info);
    pthread_mutex_unlock(&s->memory->mutex);
    return 0;
}

/* ---- reading ---- */

static int memory_get(struct store_backend *b, const char *key, struct buf *ret,
    int64_t *ret_version, struct error *err)
{
    struct memory_store *s = container_of(b, struct memory_store, backend);
    pthread_mutex_lock(&s->memory->mutex);
    const struct entry *e = find(s->memory, key);
    if (e) {
        buf_append(ret, e->value, e->n);
        if (ret_version)
            *ret_version = e->version;
    }
    pthread_mutex_unlock(&s->memory->mutex);
    return e ? 0 : error_set(err, -ENOENT, "no entry '%s'", key);
}

/* Copies the page first: fn may call the store again. */
static int memory_list(struct store_backend *b, const char *prefix, const char *after, size_t max,
    bool (*fn)(const struct store_entry *e, void *userdata), void *userdata, struct error *err)
{
    struct memory_store *s = container_of(b, struct memory_store, backend);
    VEC(struct entry) page = {0};
    pthread_mutex_lock(&s->memory->mutex);
    size_t i = lower_bound(s->memory, after && strcmp(after, prefix) > 0 ? after : prefix);
    for (; i < s->memory->entries.n && page.n < max; i++) {
        const struct entry *e = s->memory->entries.items[i];
        if (!has_prefix(e->key, prefix))
            break;
        if (after && strcmp(e->key, after) <= 0)
            continue;
        vec_push(
            &page, (struct entry){xstrdup(e->key), e->version, e->n, xmemdup(e->value, e->n + 1)});
    }
    pthread_mutex_unlock(&s->memory->mutex);
    int visited = 0;
    bool go_on = true;
    VEC_FOREACH (e, &page) {
        if (go_on) {
            struct store_entry entry = {e->key, {e->value, e->n}, e->version};
            visited++;
            go_on = fn(&entry, userdata);
        }
        free(e->key);
        free(e->value);
    }
    vec_done(&page);
    return visited;
}

/* ---- life ---- */

static void memory_unref(struct memory *m)
{
    pthread_mutex_lock(&g_mutex);
    bool last = --m->refs == 0;
    if (last)
        list_remove(&m->node);
    pthread_mutex_unlock(&g_mutex);
    if (!last)
        return;
    VEC_FOREACH (e, &m->entries)
        entry_free(*e);
    vec_done(&m->entries);
    pthread_cond_destroy(&m->changed);
    pthread_mutex_destroy(&m->mutex);
    free(m->info);
    free(m->name);
    free(m);
}

static struct memory *memory_ref(const char *name)
{
    struct memory *m = NULL;
    pthread_mutex_lock(&g_mutex);
    if (*name)
        LIST_FOREACH (other, &g_memories, struct memory, node)
            if (streq(other->name, name))
                m = other;
    if (!m) {
        m = xnew(struct memory);
        m->name = xstrdup(name);
        pthread_mutex_init(&m->mutex, NULL);
        pthread_cond_init(&m->changed, NULL);
        list_push(&g_memories, &m->node);
    }
    m->refs++;
    pthread_mutex_unlock(&g_mutex);
    return m;
}

static void memory_free(struct store_backend *b)
{
    struct memory_store *s = container_of(b, struct memory_store, backend);
    pthread_mutex_lock(&s->memory->mutex);
    if (s->memory->leader == s) {
        s->memory->leader = NULL;
        pthread_cond_broadcast(&s->memory->changed);
    }
    pthread_mutex_unlock(&s->memory->mutex);
    memory_unref(s->memory);
    free(s);
}

int store_memory_open(const char *name, struct store_backend **ret, struct error *err)
{
    struct memory_store *s = xnew(struct memory_store);
    s->backend = (struct store_backend){.flush = memory_flush,
        .lock = memory_lock,
        .cancel_lock = memory_cancel_lock,
        .lead = memory_lead,
        .leader_info = memory_leader_info,
        .get = memory_get,
        .list = memory_list,
        .free = memory_free};
    s->memory = memory_ref(name);
    *ret = &s->backend;
    return 0;
}
