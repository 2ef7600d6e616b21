#ifndef DCOS_TRANSFER_PACK_H
#define DCOS_TRANSFER_PACK_H

/*
 * Packing a folder so that the same contents always give the same bytes.
 *
 * Entries are sorted by name and belong to root; their times are PACK_TIME; names begin with "./".
 * Modes are kept without set-id bits. Hard links become files of their own. Devices, pipes and
 * sockets are refused. The bytes depend on the compressor's release alone.
 */

#include <sys/types.h>

#include "base/error.h"

enum { PACK_TIME = 315532800 /* 1980-01-01, the earliest that zip tools know too */ };

enum pack_compression { PACK_PLAIN, PACK_GZIP, PACK_XZ };

/* Writes a tar of the folder `root` to fd. Not synced. */
int pack_tree(int root, enum pack_compression compression, int fd, struct error *err);

#endif
