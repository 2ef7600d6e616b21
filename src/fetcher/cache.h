#ifndef DCOS_FETCHER_CACHE_H
#define DCOS_FETCHER_CACHE_H

/*
 * Downloads shared between tasks of one user.
 *
 * The folder belongs to that user. For each URI it holds <key>.data, the whole file, and
 * <key>.lock; the key is a hash of user and URI. Whoever wants a URI takes its lock first, so that
 * of several fetchers one downloads, to <key>.part, and renames it when it is whole; a .part left
 * by a crash is never read. Files are used through a descriptor that is opened under the lock, so
 * that eviction (least recently used first, under `evict.lock`) may remove a file that is still
 * being read.
 */

#include "transfer/download.h"

struct cache {
    const char *directory;
    uint64_t max_bytes; /* of all files together */
};

/* A descriptor of the whole file, downloaded now or before (*ret_hit). -EFBIG and -ENOSPC when it
 * does not fit, -EACCES and the like when the cache cannot be used: the caller may fetch without it
 * then
 * (*ret_bypass is set). Other failures are those of the download. */
int cache_fetch(const struct cache *c, const struct uri *u, const struct download_options *options,
    int *ret_fd, uint64_t *ret_bytes, bool *ret_hit, bool *ret_bypass, struct error *err);

#endif
