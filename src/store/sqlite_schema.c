/* Opening the database: the file, its settings, its tables, its version. */

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "store/sqlite.h"

enum {
    APPLICATION_ID = 0x64636f73, /* "dcos", in the header of the file */
    SCHEMA_VERSION = 1,
    DATABASE_MODE = 0600, /* of the log and its index too: SQLite copies it */
    BUSY_TIMEOUT_MS = 5000,
    CACHE_KB = 1024, /* per connection, at most */
    LOG_KEEP_BYTES = 4 * 1024 * 1024,
};

static const char g_settings[] = "PRAGMA trusted_schema = OFF;"
                                 "PRAGMA synchronous = FULL;"
                                 "PRAGMA wal_autocheckpoint = 0;"
                                 "PRAGMA cell_size_check = ON;"
                                 "PRAGMA temp_store = MEMORY;";

/* Text sorts by its bytes. Versions are drawn from one counter ('version'), so that a key that was
 * deleted and made again never shows a version that somebody still remembers. */
#define SCHEMA_SQL                                                                                 \
    "CREATE TABLE meta (name TEXT PRIMARY KEY NOT NULL, value) WITHOUT ROWID;"                     \
    "CREATE TABLE entries (key TEXT NOT NULL UNIQUE, value BLOB NOT NULL, version INTEGER NOT "    \
    "NULL);"                                                                                       \
    "INSERT INTO meta VALUES ('schema', %d), ('epoch', 0), ('version', 0);"                        \
    "PRAGMA application_id = %d;"

int sqlite_failure(const char *path, sqlite3 *db, int rc, struct error *err)
{
    /* A missing shared-memory page or log is reported as an I/O error even when the reason is a
     * full disk, which is no damage. */
    int os = db ? sqlite3_system_errno(db) : 0;
    const char *text = db ? sqlite3_errmsg(db) : sqlite3_errstr(rc);
    int primary = rc & 0xff;
    if (primary == SQLITE_FULL || (primary == SQLITE_IOERR && (os == ENOSPC || os == EDQUOT)))
        return error_set(err, -ENOSPC, "%s: the disk is full; free some space", path);
    switch (primary) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return error_set(err, -EBUSY, "%s: in use by another process (%s)", path, text);
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
        return error_set(err, -EUCLEAN,
            "%s: not a database, or damaged (%s); restore it from a backup, or move it and its "
            "-wal "
            "and -shm files away to start empty",
            path, text);
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_CANTOPEN:
        return error_set(err, os == EROFS ? -EROFS : -EACCES,
            "%s: cannot be written (%s); check owner and mode of the file and of its directory, "
            "and "
            "that the file system is not read-only",
            path, os ? errno_text(os) : text);
    case SQLITE_NOMEM:
        return error_set(err, -ENOMEM, "%s: out of memory", path);
    default:
        return error_set(err, -EIO, "%s: storage failed (%s%s%s)", path, text, os ? ", " : "",
            os ? errno_text(os) : "");
    }
}

/* ---- the file ---- */

static int sync_directory(const char *path, struct error *err)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) < 0)
        return error_errno(err, -errno, "directory %s", path);
    return 0;
}

static int check_directory(const char *directory, struct error *err)
{
    struct stat st;
    if (stat(directory, &st) < 0 && errno == ENOENT)
        return error_set(err, -ENOENT,
            "directory %s does not exist; create it or choose another path for the store",
            directory);
    if (stat(directory, &st) < 0)
        return error_errno(err, -errno, "directory %s", directory);
    if (!S_ISDIR(st.st_mode))
        return error_set(err, -ENOTDIR, "%s is not a directory", directory);
    return 0;
}

static char *directory_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return xstrdup(".");
    return xstrndup(path, slash == path ? 1 : (size_t)(slash - path));
}

/* Makes the file with the right mode before SQLite does with a wider one. An existing file is never
 * opened here: closing our descriptor would drop the locks SQLite holds in this process. */
static int make_file(const char *path, struct error *err)
{
    _cleanup_free_ char *directory = directory_of(path);
    int r = check_directory(directory, err);
    if (r < 0)
        return r;
    _cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, DATABASE_MODE);
    if (fd >= 0)
        return sync_directory(directory, err);
    struct stat st;
    if (errno != EEXIST)
        return error_errno(err, -errno,
            "%s cannot be created; check owner, mode and free space of %s", path, directory);
    if (stat(path, &st) < 0)
        return error_errno(err, -errno, "%s", path);
    if (!S_ISREG(st.st_mode))
        return error_set(err, -EINVAL, "%s is not a regular file", path);
    if (access(path, R_OK | W_OK) < 0)
        return error_errno(err, -errno, "%s cannot be written; check its owner and mode", path);
    return 0;
}

/* ---- the schema ---- */

static int query_int(sqlite3 *db, const char *sql, int64_t *ret)
{
    sqlite3_stmt *stmt;
    int rc = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW) {
        *ret = sqlite3_column_int64(stmt, 0);
        rc = SQLITE_OK;
    } else if (rc == SQLITE_DONE) {
        rc = SQLITE_CORRUPT;
    }
    sqlite3_finalize(stmt);
    return rc;
}

static int run(sqlite3 *db, const char *path, const char *sql, struct error *err)
{
    int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK ? 0 : sqlite_failure(path, db, rc, err);
}

static int check_schema(sqlite3 *db, const char *path, struct error *err)
{
    int64_t id = 0, tables = 0, version = 0;
    int rc = query_int(db, "PRAGMA application_id", &id);
    if (rc == SQLITE_OK)
        rc = query_int(db, "SELECT count(*) FROM sqlite_schema", &tables);
    if (rc != SQLITE_OK)
        return sqlite_failure(path, db, rc, err);
    if (id == 0 && tables == 0) {
        _cleanup_free_ char *sql = xasprintf(SCHEMA_SQL, SCHEMA_VERSION, APPLICATION_ID);
        return run(db, path, sql, err);
    }
    if (id != APPLICATION_ID)
        return error_set(err, -EINVAL,
            "%s is a database of another program; choose another path for the store", path);
    rc = query_int(db, "SELECT value FROM meta WHERE name = 'schema'", &version);
    if (rc != SQLITE_OK)
        return sqlite_failure(path, db, rc, err);
    if (version > SCHEMA_VERSION)
        return error_set(err, -EPROTONOSUPPORT,
            "%s was written by a newer release (format %lld, this one knows up to %d); use that "
            "release",
            path, (long long)version, SCHEMA_VERSION);
    return 0;
}

/* Some file systems cannot share the memory that WAL needs; SQLite then silently keeps the old
 * mode. */
static int use_wal(sqlite3 *db, const char *path, struct error *err)
{
    sqlite3_stmt *stmt;
    int r = 0, rc = sqlite3_prepare_v2(db, "PRAGMA journal_mode = WAL", -1, &stmt, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    if (rc != SQLITE_ROW)
        r = sqlite_failure(path, db, rc, err);
    else if (!streq((const char *)sqlite3_column_text(stmt, 0), "wal"))
        r = error_set(err, -EOPNOTSUPP,
            "%s: the file system cannot hold a write-ahead log; choose a path on a local disk",
            path);
    sqlite3_finalize(stmt);
    return r;
}

static int set_up_writer(sqlite3 *db, const char *path, struct error *err)
{
    int r = use_wal(db, path, err);
    if (r < 0)
        return r;
    _cleanup_free_ char *limits = xasprintf(
        "PRAGMA journal_size_limit = %d; BEGIN IMMEDIATE", LOG_KEEP_BYTES);
    r = run(db, path, limits, err);
    if (r < 0)
        return r;
    r = check_schema(db, path, err);
    if (r == 0)
        r = run(db, path, "COMMIT", err);
    return r;
}

int sqlite_connect(const char *path, bool writer, sqlite3 **ret, struct error *err)
{
    if (!*path)
        return error_set(err, -EINVAL, "store: sqlite: needs a path, as in sqlite:/var/lib/x.db");
    int r = writer ? make_file(path, err) : 0;
    if (r < 0)
        return r;
    /* "./" keeps SQLite from taking a name that starts with "file:" or ":memory:" for something
     * else. */
    _cleanup_free_ char *name = xasprintf("%s%s", *path == '/' ? "" : "./", path);
    sqlite3 *db = NULL;
    int rc = sqlite3_open_v2(name, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_extended_result_codes(db, 1);
    if (rc != SQLITE_OK) {
        r = sqlite_failure(path, db, rc, err);
        sqlite3_close(db);
        return r;
    }
    sqlite3_busy_timeout(db, BUSY_TIMEOUT_MS);
    sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    _cleanup_free_ char *settings = xasprintf("%sPRAGMA cache_size = -%d;%s", g_settings, CACHE_KB,
        writer ? "" : "PRAGMA query_only = ON");
    r = run(db, path, settings, err);
    if (r == 0 && writer)
        r = set_up_writer(db, path, err);
    if (r < 0) {
        sqlite3_close(db);
        return r;
    }
    *ret = db;
    return 0;
}
