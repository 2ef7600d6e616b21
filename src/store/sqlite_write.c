/* The writer thread's half: a group of batches is one transaction, each batch a savepoint in it. */

#include <assert.h>
#include <errno.h>

#include "store/sqlite.h"

enum { CHECKPOINT_PAGES = 1000 };

static const char *const g_sql[SQL_STATEMENTS] = {
    [SQL_BEGIN] = "BEGIN IMMEDIATE",
    [SQL_COMMIT] = "COMMIT",
    [SQL_ROLLBACK] = "ROLLBACK",
    [SQL_SAVEPOINT] = "SAVEPOINT batch",
    [SQL_RELEASE] = "RELEASE batch",
    [SQL_UNDO] = "ROLLBACK TO batch",
    [SQL_VERSION_OF] = "SELECT version FROM entries WHERE key = ?1",
    [SQL_PUT] = "INSERT INTO entries (key, value, version) VALUES (?1, ?2, ?3) "
                "ON CONFLICT (key) DO UPDATE SET value = excluded.value, version = "
                "excluded.version",
    [SQL_DELETE] = "DELETE FROM entries WHERE key = ?1",
    [SQL_META_GET] = "SELECT value FROM meta WHERE name = ?1",
    [SQL_META_SET] = "INSERT OR REPLACE INTO meta (name, value) VALUES (?1, ?2)",
};

static int on_log_grown(void *userdata, sqlite3 *db, const char *name, int pages)
{
    struct sqlite_store *s = userdata;
    s->wal_pages = pages;
    return SQLITE_OK;
}

int sqlite_prepare_writer(struct sqlite_store *s, struct error *err)
{
    for (size_t i = 0; i < SQL_STATEMENTS; i++) {
        int rc = sqlite3_prepare_v3(
            s->writer, g_sql[i], -1, SQLITE_PREPARE_PERSISTENT, &s->statements[i], NULL);
        if (rc != SQLITE_OK)
            return sqlite_failure(s->path, s->writer, rc, err);
    }
    sqlite3_wal_hook(s->writer, on_log_grown, s);
    return 0;
}

/* Runs a statement that gives no rows. SQLITE_OK or the error. */
static int step(sqlite3_stmt *stmt)
{
    int rc = sqlite3_step(stmt);
    int reset = sqlite3_reset(stmt);
    sqlite3_clear_bindings(stmt);
    return rc == SQLITE_DONE || rc == SQLITE_ROW ? SQLITE_OK : reset;
}

static int step_plain(struct sqlite_store *s, enum sqlite_statement which)
{
    return step(s->statements[which]);
}

/* Reads one number; `absent` when there is no row. */
static int step_int(sqlite3_stmt *stmt, const char *name, int64_t absent, int64_t *ret)
{
    sqlite3_bind_text(stmt, 1, name, -1, SQLITE_STATIC);
    int rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW || rc == SQLITE_DONE) {
        *ret = rc == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : absent;
        rc = SQLITE_OK;
    }
    int reset = sqlite3_reset(stmt);
    sqlite3_clear_bindings(stmt);
    return rc == SQLITE_OK ? SQLITE_OK : reset;
}

static int meta_get(struct sqlite_store *s, const char *name, int64_t *ret)
{
    return step_int(s->statements[SQL_META_GET], name, 0, ret);
}

static int meta_set_int(struct sqlite_store *s, const char *name, int64_t v)
{
    sqlite3_stmt *stmt = s->statements[SQL_META_SET];
    sqlite3_bind_text(stmt, 1, name, -1, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 2, v);
    return step(stmt);
}

static int meta_set_text(struct sqlite_store *s, const char *name, const char *text)
{
    sqlite3_stmt *stmt = s->statements[SQL_META_SET];
    sqlite3_bind_text(stmt, 1, name, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 2, text, -1, SQLITE_STATIC);
    return step(stmt);
}

/* Gives up the transaction, if SQLite has not done so already, and says why. */
static int abandon(struct sqlite_store *s, int rc, struct error *err)
{
    int r = sqlite_failure(s->path, s->writer, rc, err);
    if (!sqlite3_get_autocommit(s->writer))
        (void)step_plain(s, SQL_ROLLBACK); /* the failure above is what counts */
    return r;
}

static int apply_op(struct sqlite_store *s, const struct store_op *op, int64_t version)
{
    sqlite3_stmt *stmt = s->statements[op->type == STORE_PUT ? SQL_PUT : SQL_DELETE];
    sqlite3_bind_text(stmt, 1, op->key, -1, SQLITE_STATIC);
    if (op->type == STORE_PUT) {
        sqlite3_bind_blob64(stmt, 2, op->n > 0 ? op->value : "", op->n, SQLITE_STATIC);
        sqlite3_bind_int64(stmt, 3, version);
    }
    return step(stmt);
}

/* Applies one batch or, when a version does not match, none of it. */
static int apply_batch(struct sqlite_store *s, struct store_batch *batch, int64_t *counter)
{
    int rc = step_plain(s, SQL_SAVEPOINT);
    for (size_t i = 0; rc == SQLITE_OK && i < batch->n; i++) {
        const struct store_op *op = &batch->ops[i];
        if (op->version != STORE_ANY_VERSION) {
            int64_t there = STORE_ABSENT;
            rc = step_int(s->statements[SQL_VERSION_OF], op->key, STORE_ABSENT, &there);
            if (rc == SQLITE_OK && there != op->version) {
                batch->status = -EAGAIN;
                batch->failed_op = (ssize_t)i;
                rc = step_plain(s, SQL_UNDO);
                break;
            }
        }
        if (rc != SQLITE_OK || op->type == STORE_CHECK)
            continue;
        if (op->type == STORE_PUT)
            batch->new_versions[i] = ++*counter;
        rc = apply_op(s, op, *counter);
    }
    return rc == SQLITE_OK ? step_plain(s, SQL_RELEASE) : rc;
}

int sqlite_flush(struct store_backend *b, struct list *batches, struct error *err)
{
    struct sqlite_store *s = container_of(b, struct sqlite_store, backend);
    int64_t epoch = 0, counter = 0, before;
    int rc = step_plain(s, SQL_BEGIN);
    if (rc == SQLITE_OK)
        rc = meta_get(s, "epoch", &epoch);
    if (rc == SQLITE_OK)
        rc = meta_get(s, "version", &counter);
    if (rc != SQLITE_OK)
        return abandon(s, rc, err);
    before = counter;
    LIST_FOREACH (batch, batches, struct store_batch, node) {
        batch->status = 0;
        batch->failed_op = -1;
        if (batch->epoch != 0 && (int64_t)batch->epoch != epoch)
            batch->status = -EAGAIN;
        else
            rc = apply_batch(s, batch, &counter);
        if (rc != SQLITE_OK)
            return abandon(s, rc, err);
    }
    if (counter != before)
        rc = meta_set_int(s, "version", counter);
    if (rc == SQLITE_OK)
        rc = step_plain(s, SQL_COMMIT);
    return rc == SQLITE_OK ? 0 : abandon(s, rc, err);
}

int sqlite_lead(struct store_backend *b, const char *info, uint64_t *ret_epoch, struct error *err)
{
    struct sqlite_store *s = container_of(b, struct sqlite_store, backend);
    int64_t epoch = 0;
    int rc = step_plain(s, SQL_BEGIN);
    if (rc == SQLITE_OK)
        rc = meta_get(s, "epoch", &epoch);
    if (rc == SQLITE_OK)
        rc = meta_set_int(s, "epoch", ++epoch);
    if (rc == SQLITE_OK)
        rc = meta_set_text(s, "leader", info);
    if (rc == SQLITE_OK)
        rc = step_plain(s, SQL_COMMIT);
    if (rc != SQLITE_OK)
        return abandon(s, rc, err);
    *ret_epoch = (uint64_t)epoch;
    return 0;
}

/* Copies the log into the database after the commits were answered, so that nobody waits for it. A
 * reader in between or a full disk only means that it happens later. */
void sqlite_idle(struct store_backend *b)
{
    struct sqlite_store *s = container_of(b, struct sqlite_store, backend);
    if (s->wal_pages < CHECKPOINT_PAGES)
        return;
    s->wal_pages = 0;
    (void)sqlite3_wal_checkpoint_v2(s->writer, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
}
