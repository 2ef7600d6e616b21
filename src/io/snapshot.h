#ifndef DCOS_IO_SNAPSHOT_H
#define DCOS_IO_SNAPSHOT_H

/*
 * Work on a frozen copy of this process, while the process goes on.
 *
 * snapshot_start() forks: the child sees everything as it was at the call (pages are copied only
 * when one of the two writes to them), computes bytes from it and ends. The bytes come back as a
 * blob that maps the child's memory: nothing is copied on the way. The loop pays for the copy of
 * the page table alone, about 9 ms per GiB of small pages.
 *
 * In the child only the calling thread exists. It has no descriptors but the first three and its
 * output, no signal handlers, dies with its parent and runs at a lower priority. What it does must
 * not touch the loop, locks that other threads of the parent take (malloc's are safe), or anything
 * outside the process.
 */

#include "io/loop.h"
#include "io/stream.h"

enum { SNAPSHOT_TIMEOUT_S = 120 /* then the child is killed */ };

struct snapshot;

/* Runs in the child; what it writes with snapshot_write() is the result. */
typedef void (*snapshot_fn)(int out, void *userdata);
/* Runs on the loop once. `body` (NULL when the child failed) belongs to the caller of the callback:
 * who keeps it takes a reference. The snapshot is gone afterwards. */
typedef void (*snapshot_cb)(struct blob *body, const char *error, void *userdata);

/* Negative errno with err when there can be no child now; nothing is called then. */
int snapshot_start(struct loop *l, snapshot_fn fn, snapshot_cb cb, void *userdata,
    struct snapshot **ret, struct error *err);
/* In the child: all of it, or the child ends with a failure. */
void snapshot_write(int out, const void *p, size_t n);
/* Kills it; cb is not called any more. */
void snapshot_cancel(struct snapshot *s);

#endif
