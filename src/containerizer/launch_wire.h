#ifndef DCOS_CONTAINERIZER_LAUNCH_WIRE_H
#define DCOS_CONTAINERIZER_LAUNCH_WIRE_H

/*
 * Records between the containerizer and its launcher, on a socketpair.
 *
 * A record is u32 length of what follows, u16 type, u16 zero, then fields: u16 tag, u16 zero, u32
 * length, bytes. Integers are 8 bytes; byte order is the machine's, both ends run on it. Text ends
 * with a NUL that the length counts. Unknown types and tags are skipped. Both ends send HELLO
 * first; another major version ends the link.
 */

#include "base/buf.h"
#include "base/vec.h"

enum {
    LAUNCH_MAJOR = 1,
    LAUNCH_MINOR = 1,
    LAUNCH_RECORD_MAX = 2 * 1024 * 1024,
    LAUNCH_LIST_MAX = 8192, /* entries of argv, environment, folders */
};

enum launch_type {
    LAUNCH_HELLO = 1,   /* both ways: major, minor, features */
    LAUNCH_START = 2,   /* to the launcher */
    LAUNCH_STARTED = 3, /* from it: id, pid, start_time */
    LAUNCH_FAILED = 4,  /* id, error, text */
    LAUNCH_EXITED = 5,  /* id, pid, status */
};

enum launch_flags {
    LAUNCH_FLAG_NAMESPACES = 1, /* supervised in pid and mount namespaces */
    LAUNCH_FLAG_SUPERVISED = 2, /* supervised */
    LAUNCH_FLAG_UNIFIED = 4,    /* the first folder is in the unified tree */
};

struct launch_record {
    enum launch_type type;
    const char *id, *cwd, *user, *stdout_path, *stderr_path, *state_dir, *text;
    const char *mounts;     /* as of spawn_mounts_format() */
    VEC(const char *) argv; /* decoded lists end with a NULL that n does not count */
    VEC(const char *) envp;
    VEC(const char *) dirs; /* control groups to join */
    int64_t flags, pid, start_time, status, error;
    int64_t major, minor, features;
};

void launch_encode(const struct launch_record *m, struct buf *out);
/* Takes the first record of `data`. Returns the bytes it took, 0 when it is not complete yet,
 * -EBADMSG. Strings point into data. Free with launch_record_done. */
ptrdiff_t launch_decode(struct str data, struct launch_record *ret);
void launch_record_done(struct launch_record *m);

#endif
