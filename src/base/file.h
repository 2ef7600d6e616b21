#ifndef DCOS_BASE_FILE_H
#define DCOS_BASE_FILE_H

/* Files and descriptors: everything O_CLOEXEC, negative errno on failure. */

#include <sys/types.h>

#include "base/buf.h"
#include "base/error.h"

/* close(2) that keeps errno and takes -1. Returns -1. */
int fd_close(int fd);

static inline void fd_closep(int *fd)
{
    fd_close(*fd);
}
#define _cleanup_close_ _cleanup_(fd_closep)

/* Joins with exactly one slash; NULL-terminated list of parts. Caller frees. */
char *path_join_many(const char *first, ...) __attribute__((sentinel));
#define path_join(...) path_join_many(__VA_ARGS__, NULL)

/* Appends the file to out; -EFBIG when it is larger than max bytes. */
int file_read(const char *path, size_t max, struct buf *out, struct error *err);
/* Writes a temporary file beside it, syncs, renames over `path`, syncs the directory. */
int file_write_atomic(const char *path, const void *p, size_t n, mode_t mode, struct error *err);
/* Removes what file_write_atomic left in a folder when it was cut off, NAME.tmp.PID, and in folders
 * below it up to `depth`. Nobody may be writing there. */
int file_clear_unfinished(const char *folder, unsigned depth, struct error *err);
/* Writes without durability (cgroup files, procfs): open, one write, close. */
int file_write_string(const char *path, const char *text, struct error *err);
/* Creates missing parents too. 0 when it exists already. */
int mkdir_all(const char *path, mode_t mode, struct error *err);
/* Removes a tree of any depth without following links. -EBUSY, with the contents of the mount kept,
 * where it would cross into another file system or a bind mount. 0 when absent. */
int remove_tree(const char *path, struct error *err);
bool path_exists(const char *path);
/* Writes all, resuming after short writes and EINTR. */
int fd_write_all(int fd, const void *p, size_t n);

#endif
