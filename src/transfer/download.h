#ifndef DCOS_TRANSFER_DOWNLOAD_H
#define DCOS_TRANSFER_DOWNLOAD_H

/* Bytes of a URI into a file. */

#include "base/buf.h"
#include "transfer/uri.h"

struct download_options {
    int64_t stall_timeout_us; /* give up when nothing came for that long; 0 = never */
    uint64_t max_bytes;       /* -EFBIG beyond; UINT64_MAX = no limit */
    long *ret_status;         /* NULL, or where the server's status goes; 0 = it gave none */
};

/* Writes to fd from its start. -ETIMEDOUT, -EFBIG, -ENOSPC, -ENOENT (no such local file) or another
 * errno; the message says what the server answered. */
int download(const struct uri *u, int fd, const struct download_options *options,
    uint64_t *ret_bytes, struct error *err);
/* A small answer of an http or file URL, appended to `ret`. Errors as above. */
int download_text(const char *url, int64_t stall_timeout_us, uint64_t max_bytes, struct buf *ret,
    struct error *err);
/* All of a regular file, by reflink where the file system can. */
int copy_file(int from, int to, uint64_t max_bytes, uint64_t *ret_bytes, struct error *err);

#endif
