/* Reads, on the loop's thread. Each asks ZooKeeper; for walks in pages the sorted names are kept
 * from one page to the next. */

#include <errno.h>

#include "base/alloc.h"
#include "store/zk.h"

enum { PAGE_REQUESTS = 1000 }; /* values asked for at once */

/* The loop is busy here, not stuck. */
static void beat(struct zk_store *s)
{
    pthread_mutex_lock(&s->mutex);
    struct zk_lease *lease = s->lease;
    pthread_mutex_unlock(&s->mutex);
    if (lease)
        zk_lease_beat(lease);
}

/* After a failed read: 0 = try again. */
static int again(struct zk_store *s, int r, struct error *err)
{
    if (r == -ENOTCONN || r == -ESTALE)
        return zk_store_reconnect_reader(s, err);
    return error_errno(err, r, "state in ZooKeeper (%s) cannot be read", s->folder);
}

int zk_store_get(struct store_backend *b, const char *key, struct buf *ret, int64_t *ret_version,
    struct error *err)
{
    struct zk_store *s = container_of(b, struct zk_store, backend);
    _cleanup_free_ char *path = zk_store_path(s, key);
    beat(s);
    for (;;) {
        _cleanup_buf_ struct buf data = BUF_INIT;
        int64_t version;
        int r = zk_get(s->session, path, false, &data, NULL);
        if (r == -ENOENT)
            return error_set(err, r, "no entry '%s'", key);
        if (r == 0)
            r = zk_store_read_header(buf_cstr(&data), data.n, &version);
        if (r == 0) {
            buf_append(ret, data.p + ZK_HEADER, data.n - ZK_HEADER);
            if (ret_version)
                *ret_version = version;
            return 0;
        }
        r = again(s, r, err);
        if (r < 0)
            return r;
    }
}

/* ---- names ---- */

void zk_store_forget_names(struct zk_store *s)
{
    zk_names_done(&s->names);
    free(TAKE_PTR(s->names_prefix));
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static uint64_t names_changed(struct zk_store *s)
{
    pthread_mutex_lock(&s->mutex);
    uint64_t n = s->names_changed;
    pthread_mutex_unlock(&s->mutex);
    return n;
}

/* All names of nodes, as they are. */
static int fetch_names(struct zk_store *s, struct zk_names *ret)
{
    _cleanup_zk_names_ struct zk_names buckets = {0};
    int r = zk_children(s->session, s->buckets, false, &buckets);
    if (r < 0)
        return r == -ENOENT ? 0 : r;
    for (size_t i = 0; i < buckets.n; i++) {
        char *path = zk_join(s->buckets, buckets.items[i]);
        free(buckets.items[i]);
        buckets.items[i] = path;
    }
    return zk_children_many(s->session, buckets.items, buckets.n, ret);
}

/* Reads, decodes and sorts the keys under a prefix. */
static int load_names(struct zk_store *s, const char *prefix, struct error *err)
{
    zk_store_forget_names(s);
    uint64_t at = names_changed(s);
    _cleanup_zk_names_ struct zk_names raw = {0};
    for (;;) {
        int r = fetch_names(s, &raw);
        if (r == 0)
            break;
        zk_names_done(&raw);
        r = again(s, r, err);
        if (r < 0)
            return r;
    }
    char key[STORE_KEY_MAX + 1];
    for (size_t i = 0; i < raw.n; i++)
        if (zk_store_key(raw.items[i], key) && has_prefix(key, prefix))
            vec_push(&s->names, xstrdup(key));
    if (s->names.n > 0)
        qsort(s->names.items, s->names.n, sizeof(*s->names.items), by_text);
    s->names_prefix = xstrdup(prefix);
    s->names_at = at;
    return 0;
}

/* ---- pages ---- */

struct value {
    char *key, *p; /* p: NULL when it is gone meanwhile */
    size_t n;
    int64_t version;
    int error;
};

static void on_value(
    size_t i, int status, const char *p, size_t n, const struct zk_info *info, void *userdata)
{
    struct value *v = (struct value *)userdata + i;
    if (status < 0)
        return;
    v->error = zk_store_read_header(p, n, &v->version);
    if (v->error == 0) {
        v->n = n - ZK_HEADER;
        v->p = xstrndup(p + ZK_HEADER, v->n);
    }
}

static void free_values(struct value *values, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(TAKE_PTR(values[i].p));
        values[i] = (struct value){.key = values[i].key};
    }
}

static int fetch_values(struct zk_store *s, struct value *values, size_t n, struct error *err)
{
    _cleanup_free_ char **paths = xnew_array(char *, n + 1);
    for (size_t i = 0; i < n; i++)
        paths[i] = zk_store_path(s, values[i].key);
    int r;
    do {
        free_values(values, n);
        beat(s);
        r = zk_get_many(s->session, paths, n, on_value, values);
        if (r == 0)
            break;
        r = again(s, r, err);
    } while (r == 0);
    for (size_t i = 0; i < n; i++) {
        if (r == 0 && values[i].error < 0)
            r = error_set(err, values[i].error, "ZooKeeper node %s is no entry of ours", paths[i]);
        free(paths[i]);
    }
    return r;
}

/* Index of the first name behind `after`. */
static size_t first_after(const struct zk_names *names, const char *after)
{
    size_t low = 0, high = names->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(names->items[middle], after) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Hands out at most `max` of the entries from `from` on; fn may call the store again. */
static int visit(struct zk_store *s, const struct zk_names *names, size_t *from, size_t max,
    bool *go_on, bool (*fn)(const struct store_entry *e, void *userdata), void *userdata,
    struct error *err)
{
    size_t n = MIN(max, names->n - *from);
    n = MIN(n, (size_t)PAGE_REQUESTS);
    _cleanup_free_ struct value *values = xnew_array(struct value, n + 1);
    for (size_t i = 0; i < n; i++)
        values[i].key = xstrdup(names->items[*from + i]);
    *from += n;
    int r = fetch_values(s, values, n, err), visited = 0;
    for (size_t i = 0; i < n; i++) {
        if (r == 0 && *go_on && values[i].p) {
            struct store_entry e = {values[i].key, {values[i].p, values[i].n}, values[i].version};
            visited++;
            *go_on = fn(&e, userdata);
        }
        free(values[i].key);
    }
    free_values(values, n);
    return r < 0 ? r : visited;
}

int zk_store_list(struct store_backend *b, const char *prefix, const char *after, size_t max,
    bool (*fn)(const struct store_entry *e, void *userdata), void *userdata, struct error *err)
{
    struct zk_store *s = container_of(b, struct zk_store, backend);
    bool going_on = after && streq(s->names_prefix, prefix) && s->names_at == names_changed(s);
    int r = going_on ? 0 : load_names(s, prefix, err);
    if (r < 0)
        return r;
    /* Other walks may begin inside fn: ours keeps its names to itself meanwhile. */
    struct zk_names names = s->names;
    char *names_prefix = TAKE_PTR(s->names_prefix);
    s->names = (struct zk_names){0};
    uint64_t at = s->names_at;
    size_t from = after ? first_after(&names, after) : 0, visited = 0;
    bool go_on = true;
    while (r >= 0 && go_on && visited < max && from < names.n) {
        r = visit(s, &names, &from, max - visited, &go_on, fn, userdata, err);
        if (r > 0)
            visited += (size_t)r;
    }
    zk_store_forget_names(s);
    if (r >= 0 && from < names.n) {
        s->names = names;
        s->names_prefix = names_prefix;
        s->names_at = at;
    } else {
        zk_names_done(&names);
        free(names_prefix);
    }
    return r < 0 ? r : (int)visited;
}
