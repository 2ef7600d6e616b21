#include "auth/audit.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "json/writer.h"

struct audit {
    char *path, *program;
    int fd;
};

static int open_file(const char *path, struct error *err)
{
    _cleanup_close_ int fd = open(
        path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600);
    if (fd < 0)
        return error_errno(err, -errno, "audit log %s", path);
    struct stat st;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 077) && fchmod(fd, 0600) < 0)
        return error_errno(err, -errno, "audit log %s", path);
    return TAKE_FD(fd);
}

int audit_open(const char *path, const char *program, struct audit **ret, struct error *err)
{
    int fd = open_file(path, err);
    if (fd < 0)
        return fd;
    struct audit *a = xnew(struct audit);
    *a = (struct audit){.path = xstrdup(path), .program = xstrdup(program), .fd = fd};
    *ret = a;
    return 0;
}

int audit_reopen(struct audit *a, struct error *err)
{
    int fd = open_file(a->path, err);
    if (fd < 0)
        return fd;
    fd_close(a->fd);
    a->fd = fd;
    return 0;
}

void audit_close(struct audit *a)
{
    if (!a)
        return;
    fd_close(a->fd);
    free(a->path);
    free(a->program);
    free(a);
}

enum { CLAIMS_SHOWN = 4, SHORT_TEXT_MAX = 64 };

static void put(struct json_writer *w, const char *key, const char *text, size_t max)
{
    jw_key(w, key);
    if (text)
        jw_string_n(w, text, strnlen(text, max));
    else
        jw_null(w);
}

static void put_claims(struct json_writer *w, const struct auth_subject *who, size_t max)
{
    jw_key(w, "claims");
    jw_begin_array(w);
    for (size_t i = 0; i < who->n_claims && i < CLAIMS_SHOWN; i++) {
        _cleanup_buf_ struct buf text = BUF_INIT;
        buf_printf(&text, "%s=%s", who->claims[i].name, who->claims[i].value);
        jw_string_n(w, text.p, MIN(text.n, max));
    }
    jw_end_array(w);
}

static void compose(
    const struct audit *a, const struct audit_entry *e, size_t max, struct buf *line)
{
    struct json_writer w;
    char time[TIME_TEXT_SIZE];
    time_format_rfc3339(e->time_us, time);
    buf_clear(line);
    jw_init(&w, line);
    jw_begin_object(&w);
    jw_field_string(&w, "time", time);
    jw_field_string(&w, "program", a->program);
    put(&w, "who", e->who->principal, max);
    if (!e->who->principal && e->who->n_claims)
        put_claims(&w, e->who, max);
    put(&w, "from", e->from, max);
    put(&w, "action", e->action, max);
    put(&w, "object", e->object, max);
    jw_field_i64(&w, "status", e->status);
    jw_end_object(&w);
    buf_putc(line, '\n');
}

int audit_write(struct audit *a, const struct audit_entry *e)
{
    _cleanup_buf_ struct buf line = BUF_INIT;
    compose(a, e, AUDIT_TEXT_MAX, &line);
    if (line.n > AUDIT_LINE_MAX) /* escapes take up to six bytes */
        compose(a, e, SHORT_TEXT_MAX, &line);
    ssize_t n = write(a->fd, line.p, line.n);
    if (n < 0)
        return -errno;
    return (size_t)n == line.n ? 0 : -ENOSPC;
}
