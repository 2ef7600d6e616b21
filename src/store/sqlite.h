#ifndef DCOS_STORE_SQLITE_H
#define DCOS_STORE_SQLITE_H

/* Parts of the SQLite implementation that its files share. */

#include <sqlite3.h>

#include "store/backend.h"
#include "store/lock.h"

enum sqlite_statement {
    SQL_BEGIN,
    SQL_COMMIT,
    SQL_ROLLBACK,
    SQL_SAVEPOINT,
    SQL_RELEASE,
    SQL_UNDO,
    SQL_VERSION_OF,
    SQL_PUT,
    SQL_DELETE,
    SQL_META_GET,
    SQL_META_SET,
    SQL_STATEMENTS,
};

struct sqlite_store {
    struct store_backend backend;
    char *path, *lock_path;
    struct leader_lock lock;
    sqlite3 *writer; /* of the writer thread */
    sqlite3_stmt *statements[SQL_STATEMENTS];
    int wal_pages;        /* length of the log after the last commit */
    sqlite3 *reader;      /* of the loop's thread */
    sqlite3_stmt *getter; /* on the reader */
};

/* Negative errno for the failure just reported by `db`, with a message that says what to do. */
int sqlite_failure(const char *path, sqlite3 *db, int rc, struct error *err);

/* sqlite_schema.c: opens one connection with our settings; the writer also makes a new database or
 * checks that an old one is ours and not newer than we are. */
int sqlite_connect(const char *path, bool writer, sqlite3 **ret, struct error *err);

/* sqlite_write.c */
int sqlite_prepare_writer(struct sqlite_store *s, struct error *err);
int sqlite_flush(struct store_backend *b, struct list *batches, struct error *err);
int sqlite_lead(struct store_backend *b, const char *info, uint64_t *ret_epoch, struct error *err);
void sqlite_idle(struct store_backend *b);

#endif
