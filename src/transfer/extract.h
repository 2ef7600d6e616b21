#ifndef DCOS_TRANSFER_EXTRACT_H
#define DCOS_TRANSFER_EXTRACT_H

/*
 * Unpacking archives that strangers made.
 *
 * Only files, folders, symbolic links and hard links are made, all below the folder given. Absolute
 * names, "..", names that lead through a link, hard links to anything but a file of the folder, and
 * devices, pipes and sockets end the extraction with an error. Symbolic links are made as they are,
 * wherever they point (real archives hold absolute ones), but never followed. Set-id bits are
 * dropped.
 */

#include "base/error.h"
#include "transfer/uri.h"

enum { EXTRACT_ENTRIES_MAX = 1000000 };

/* `fd` is read from its start. `content` is URI_TAR or URI_ZIP. *ret_bytes counts what was written;
 * -EFBIG beyond max_bytes, -EBADMSG for a broken archive, -EPERM for one that tries to get out. */
int extract_archive(int fd, enum uri_content content, int root, uint64_t max_bytes,
    uint64_t *ret_bytes, struct error *err);
/* Unpacks one gzip file to another. */
int extract_gzip(int fd, int to, uint64_t max_bytes, uint64_t *ret_bytes, struct error *err);

#endif
