/* The default store: one SQLite database in WAL mode with synchronous=FULL. Two connections, one
 * for the writer thread and one for reads on the loop, so that reads never wait for a flush. */

#include "store/sqlite.h"

#include <errno.h>
#include <limits.h>

#include "base/alloc.h"

#define LEADER_SQL "SELECT value FROM meta WHERE name = 'leader'"
#define GET_SQL "SELECT value, version FROM entries WHERE key = ?1"
#define LIST_SQL(start)                                                                            \
    "SELECT key, value, version FROM entries WHERE key " start                                     \
    " ?1 AND key < ?2 ORDER BY key LIMIT ?3"

static int sqlite_lock(struct store_backend *b, const char *info, struct error *err)
{
    struct sqlite_store *s = container_of(b, struct sqlite_store, backend);
    return leader_lock_wait(&s->lock, err);
}

static void sqlite_cancel_lock(struct store_backend *b)
{
    struct sqlite_store *s = container_of(b, struct sqlite_store, backend);
    leader_lock_cancel(&s->lock);
}

static int sqlite_leader_info(
    struct store_backend *b, bool leading, struct buf *ret, struct error *err)
{
    struct sqlite_store *s = container_of(b, struct sqlite_store, backend);
    int r = leading ? 1 : leader_lock_held(s->lock_path, err);
    if (r <= 0)
        return r;
    sqlite3_stmt *stmt;
    int rc = sqlite3_prepare_v2(s->reader, LEADER_SQL, -1, &stmt, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW)
        buf_append(ret, sqlite3_column_blob(stmt, 0), (size_t)sqlite3_column_bytes(stmt, 0));
    r = rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : sqlite_failure(s->path, s->reader, rc, err);
    sqlite3_finalize(stmt);
    return r;
}

static int sqlite_get(struct store_backend *b, const char *key, struct buf *ret,
    int64_t *ret_version, struct error *err)
{
    struct sqlite_store *s = container_of(b, struct sqlite_store, backend);
    sqlite3_stmt *stmt = s->getter;
    int r = 0;
    sqlite3_bind_text(stmt, 1, key, -1, SQLITE_STATIC);
    int rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW) {
        buf_append(ret, sqlite3_column_blob(stmt, 0), (size_t)sqlite3_column_bytes(stmt, 0));
        if (ret_version)
            *ret_version = sqlite3_column_int64(stmt, 1);
    } else if (rc == SQLITE_DONE) {
        r = error_set(err, -ENOENT, "no entry '%s'", key);
    } else {
        r = sqlite_failure(s->path, s->reader, rc, err);
    }
    /* Ends the read transaction, so that the next call sees what was committed since. */
    sqlite3_reset(stmt);
    sqlite3_clear_bindings(stmt);
    return r;
}

/* Binds the end of the range: the first text after all that start with `prefix`. Every text sorts
 * before every blob, so that an empty blob stands for no end. */
static void bind_prefix_end(sqlite3_stmt *stmt, int index, const char *prefix)
{
    size_t n = strlen(prefix);
    while (n > 0 && (unsigned char)prefix[n - 1] == 0xff)
        n--;
    if (n == 0) {
        sqlite3_bind_blob(stmt, index, "", 0, SQLITE_STATIC);
        return;
    }
    char *end = xmemdup(prefix, n);
    end[n - 1] = (char)((unsigned char)end[n - 1] + 1);
    sqlite3_bind_text(stmt, index, end, (int)n, free);
}

static int sqlite_list(struct store_backend *b, const char *prefix, const char *after, size_t max,
    bool (*fn)(const struct store_entry *e, void *userdata), void *userdata, struct error *err)
{
    struct sqlite_store *s = container_of(b, struct sqlite_store, backend);
    bool from_after = after && strcmp(after, prefix) >= 0;
    /* A statement of its own for each call: fn may call us again. */
    sqlite3_stmt *stmt;
    int rc = sqlite3_prepare_v2(
        s->reader, from_after ? LIST_SQL(">") : LIST_SQL(">="), -1, &stmt, NULL);
    int visited = 0;
    bool go_on = true;
    if (rc == SQLITE_OK) {
        sqlite3_bind_text(stmt, 1, from_after ? after : prefix, -1, SQLITE_STATIC);
        bind_prefix_end(stmt, 2, prefix);
        sqlite3_bind_int64(stmt, 3, (sqlite3_int64)MIN(max, (size_t)INT_MAX));
        while (go_on && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
            struct store_entry e = {.key = (const char *)sqlite3_column_text(stmt, 0),
                .value = {sqlite3_column_blob(stmt, 1), (size_t)sqlite3_column_bytes(stmt, 1)},
                .version = sqlite3_column_int64(stmt, 2)};
            if (!e.value.p)
                e.value.p = "";
            visited++;
            go_on = fn(&e, userdata);
        }
    }
    bool ok = rc == SQLITE_DONE || rc == SQLITE_ROW;
    int r = ok ? visited : sqlite_failure(s->path, s->reader, rc, err);
    sqlite3_finalize(stmt);
    return r;
}

static void sqlite_free(struct store_backend *b)
{
    struct sqlite_store *s = container_of(b, struct sqlite_store, backend);
    for (size_t i = 0; i < SQL_STATEMENTS; i++)
        sqlite3_finalize(s->statements[i]);
    sqlite3_finalize(s->getter);
    sqlite3_close(s->reader);
    sqlite3_close(s->writer);
    /* Last: whoever leads next must find the database as we left it. */
    leader_lock_done(&s->lock);
    free(s->lock_path);
    free(s->path);
    free(s);
}

int store_sqlite_open(const char *path, struct store_backend **ret, struct error *err)
{
    struct sqlite_store *s = xnew(struct sqlite_store);
    s->backend = (struct store_backend){.flush = sqlite_flush,
        .idle = sqlite_idle,
        .lock = sqlite_lock,
        .cancel_lock = sqlite_cancel_lock,
        .lead = sqlite_lead,
        .leader_info = sqlite_leader_info,
        .get = sqlite_get,
        .list = sqlite_list,
        .free = sqlite_free};
    s->path = xstrdup(path);
    s->lock_path = xasprintf("%s.lock", path);
    leader_lock_init(&s->lock, s->lock_path);
    int r = sqlite_connect(path, true, &s->writer, err);
    if (r == 0)
        r = sqlite_prepare_writer(s, err);
    if (r == 0)
        r = sqlite_connect(path, false, &s->reader, err);
    if (r == 0) {
        int rc = sqlite3_prepare_v3(
            s->reader, GET_SQL, -1, SQLITE_PREPARE_PERSISTENT, &s->getter, NULL);
        if (rc != SQLITE_OK)
            r = sqlite_failure(path, s->reader, rc, err);
    }
    if (r < 0) {
        sqlite_free(&s->backend);
        return r;
    }
    *ret = &s->backend;
    return 0;
}
