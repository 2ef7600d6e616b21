#ifndef DCOS_EXHIBITOR_SHARED_H
#define DCOS_EXHIBITOR_SHARED_H

/*
 * Where the shared configuration is kept. Calls wait for their answer; they are for one thread.
 *
 * Writing is compare-and-swap: it takes the tag of what was read, and fails when somebody else has
 * written since. An answer that was lost leaves open whether it took effect; who reads again sees.
 */

#include "base/buf.h"
#include "base/error.h"

struct shared;

struct shared_ops {
    int (*read)(struct shared *s, struct buf *ret, char **ret_tag, struct error *err);
    int (*write)(struct shared *s, const char *tag, const struct buf *text, struct error *err);
    void (*free)(struct shared *s);
};

struct shared {
    const struct shared_ops *ops;
};

/* Appends to *ret. -ENOENT when there is nothing yet. Caller frees *ret_tag. */
static inline int shared_read(struct shared *s, struct buf *ret, char **ret_tag, struct error *err)
{
    return s->ops->read(s, ret, ret_tag, err);
}
/* `tag` NULL: there must be nothing. -EAGAIN when it is not as it was. */
static inline int shared_write(
    struct shared *s, const char *tag, const struct buf *text, struct error *err)
{
    return s->ops->write(s, tag, text, err);
}
static inline void shared_free(struct shared *s)
{
    if (s)
        s->ops->free(s);
}

/* A file in a folder that all masters mount, as by NFS: locked with a POSIX lock, replaced by
 * rename. `name` tells this machine's temporary file from those of others. */
int shared_file_new(const char *folder, const char *name, struct shared **ret, struct error *err);
/* A node below `path` of other ZooKeeper servers, "host:port,...". */
int shared_zookeeper_new(
    const char *servers, const char *path, struct shared **ret, struct error *err);

#endif
