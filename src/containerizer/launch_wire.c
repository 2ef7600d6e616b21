#include "containerizer/launch_wire.h"

#include <errno.h>
#include <string.h>

enum tag {
    TAG_ID = 1,
    TAG_CWD,
    TAG_USER,
    TAG_STDOUT,
    TAG_STDERR,
    TAG_STATE_DIR,
    TAG_TEXT,
    TAG_ARG,
    TAG_ENV,
    TAG_DIR,
    TAG_FLAGS,
    TAG_PID,
    TAG_START_TIME,
    TAG_STATUS,
    TAG_ERROR,
    TAG_MAJOR,
    TAG_MINOR,
    TAG_FEATURES,
    TAG_MOUNTS,
};

struct field_header {
    uint16_t tag, zero;
    uint32_t n;
};

struct record_header {
    uint32_t n; /* bytes after this member */
    uint16_t type, zero;
};

static void put(struct buf *out, enum tag tag, const void *p, size_t n)
{
    struct field_header h = {.tag = (uint16_t)tag, .n = (uint32_t)n};
    buf_append(out, &h, sizeof h);
    buf_append(out, p, n);
}

static void put_text(struct buf *out, enum tag tag, const char *s)
{
    if (s)
        put(out, tag, s, strlen(s) + 1);
}

static void put_number(struct buf *out, enum tag tag, int64_t v)
{
    if (v)
        put(out, tag, &v, sizeof v);
}

void launch_encode(const struct launch_record *m, struct buf *out)
{
    size_t start = out->n;
    struct record_header h = {.type = (uint16_t)m->type};
    buf_append(out, &h, sizeof h);
    put_text(out, TAG_ID, m->id);
    put_text(out, TAG_CWD, m->cwd);
    put_text(out, TAG_USER, m->user);
    put_text(out, TAG_STDOUT, m->stdout_path);
    put_text(out, TAG_STDERR, m->stderr_path);
    put_text(out, TAG_STATE_DIR, m->state_dir);
    put_text(out, TAG_TEXT, m->text);
    put_text(out, TAG_MOUNTS, m->mounts);
    for (size_t i = 0; i < m->argv.n; i++)
        put_text(out, TAG_ARG, m->argv.items[i]);
    for (size_t i = 0; i < m->envp.n; i++)
        put_text(out, TAG_ENV, m->envp.items[i]);
    for (size_t i = 0; i < m->dirs.n; i++)
        put_text(out, TAG_DIR, m->dirs.items[i]);
    put_number(out, TAG_FLAGS, m->flags);
    put_number(out, TAG_PID, m->pid);
    put_number(out, TAG_START_TIME, m->start_time);
    put_number(out, TAG_STATUS, m->status);
    put_number(out, TAG_ERROR, m->error);
    put_number(out, TAG_MAJOR, m->major);
    put_number(out, TAG_MINOR, m->minor);
    put_number(out, TAG_FEATURES, m->features);
    h.n = (uint32_t)(out->n - start - sizeof h.n);
    memcpy(out->p + start, &h, sizeof h);
}

/* NULL unless it is one NUL-terminated text. */
static const char *get_text(struct str v)
{
    return v.n && v.p[v.n - 1] == 0 && strlen(v.p) == v.n - 1 ? v.p : NULL;
}

static int get_field(struct launch_record *m, uint16_t tag, struct str v)
{
    const char **text = NULL;
    int64_t *number = NULL;
    switch ((enum tag)tag) {
    case TAG_ID:
        text = &m->id;
        break;
    case TAG_CWD:
        text = &m->cwd;
        break;
    case TAG_USER:
        text = &m->user;
        break;
    case TAG_STDOUT:
        text = &m->stdout_path;
        break;
    case TAG_STDERR:
        text = &m->stderr_path;
        break;
    case TAG_STATE_DIR:
        text = &m->state_dir;
        break;
    case TAG_TEXT:
        text = &m->text;
        break;
    case TAG_MOUNTS:
        text = &m->mounts;
        break;
    case TAG_ARG:
    case TAG_ENV:
    case TAG_DIR: {
        const char *s = get_text(v);
        if (!s)
            return -EBADMSG;
        size_t n = tag == TAG_ARG ? m->argv.n : tag == TAG_ENV ? m->envp.n : m->dirs.n;
        if (n >= LAUNCH_LIST_MAX)
            return -EBADMSG;
        if (tag == TAG_ARG)
            vec_push(&m->argv, s);
        else if (tag == TAG_ENV)
            vec_push(&m->envp, s);
        else
            vec_push(&m->dirs, s);
        return 0;
    }
    case TAG_FLAGS:
        number = &m->flags;
        break;
    case TAG_PID:
        number = &m->pid;
        break;
    case TAG_START_TIME:
        number = &m->start_time;
        break;
    case TAG_STATUS:
        number = &m->status;
        break;
    case TAG_ERROR:
        number = &m->error;
        break;
    case TAG_MAJOR:
        number = &m->major;
        break;
    case TAG_MINOR:
        number = &m->minor;
        break;
    case TAG_FEATURES:
        number = &m->features;
        break;
    }
    if (text) {
        *text = get_text(v);
        return *text ? 0 : -EBADMSG;
    }
    if (number) {
        if (v.n != sizeof *number)
            return -EBADMSG;
        memcpy(number, v.p, sizeof *number);
    }
    return 0;
}

ptrdiff_t launch_decode(struct str data, struct launch_record *ret)
{
    struct record_header h;
    if (data.n < sizeof h.n)
        return 0;
    memcpy(&h.n, data.p, sizeof h.n);
    if (h.n > LAUNCH_RECORD_MAX || h.n < sizeof h - sizeof h.n)
        return -EBADMSG;
    if (data.n < sizeof h.n + h.n)
        return 0;
    memcpy(&h, data.p, sizeof h);
    struct launch_record m = {.type = (enum launch_type)h.type};
    size_t total = sizeof h.n + h.n;
    for (size_t at = sizeof h; at < total;) {
        struct field_header f;
        if (total - at < sizeof f)
            goto bad;
        memcpy(&f, data.p + at, sizeof f);
        at += sizeof f;
        if (f.n > total - at || get_field(&m, f.tag, (struct str){data.p + at, f.n}) < 0)
            goto bad;
        at += f.n;
    }
    vec_push(&m.argv, NULL);
    vec_push(&m.envp, NULL);
    vec_push(&m.dirs, NULL);
    m.argv.n--;
    m.envp.n--;
    m.dirs.n--;
    *ret = m;
    return (ptrdiff_t)total;
bad:
    launch_record_done(&m);
    return -EBADMSG;
}

void launch_record_done(struct launch_record *m)
{
    vec_done(&m->argv);
    vec_done(&m->envp);
    vec_done(&m->dirs);
}
