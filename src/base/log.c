#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"

enum { LOG_LINE_MAX = 8192 };

static const char *g_program = "";
static enum log_level g_level = LOG_INFO;

static char *g_path;    /* of the file, or NULL */
static int g_file = -1; /* NULL path or nothing to write to: -1 */
static size_t g_written;

void log_init(const char *program)
{
    g_program = program;
}

void log_set_level(enum log_level level)
{
    g_level = level;
}

enum log_level log_level(void)
{
    return g_level;
}

static int open_file(void)
{
    struct stat st;
    int fd = open(g_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0644);
    if (fd < 0)
        return -errno;
    g_written = fstat(fd, &st) == 0 ? (size_t)st.st_size : 0;
    g_file = fd;
    return 0;
}

int log_to_file(const char *path)
{
    free(g_path);
    g_path = xstrdup(path);
    return open_file();
}

/* A full disk costs lines in the file; stderr still has them. */
static void write_file(const struct buf *line)
{
    if (g_file < 0)
        return;
    if (g_written + line->n > LOG_FILE_MAX) {
        char old[PATH_MAX];
        int n = snprintf(old, sizeof(old), "%s.1", g_path);
        close(g_file);
        g_file = -1;
        bool moved = n > 0 && (size_t)n < sizeof(old) && rename(g_path, old) == 0;
        if (open_file() < 0)
            return;
        if (!moved)
            g_written = 0; /* the file goes on growing, and it is tried again later */
    }
    ssize_t n = write(g_file, line->p, line->n);
    if (n > 0)
        g_written += (size_t)n;
}

bool log_enabled(enum log_level level)
{
    return level <= g_level;
}

int log_level_parse(const char *text, enum log_level *ret)
{
    static const struct {
        const char *name;
        enum log_level level;
    } names[] = {
        {"error", LOG_ERROR},
        {"warn", LOG_WARN},
        {"warning", LOG_WARN},
        {"info", LOG_INFO},
        {"debug", LOG_DEBUG},
    };
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (strcasecmp(text, names[i].name) == 0) {
            *ret = names[i].level;
            return 0;
        }
    }
    return -EINVAL;
}

void log_write(enum log_level level, const char *fmt, ...)
{
    static const char *const names[] = {"ERROR", "WARN", "INFO", "DEBUG"};
    if (!log_enabled(level))
        return;
    _cleanup_buf_ struct buf text = BUF_INIT_MAX(LOG_LINE_MAX);
    va_list ap;
    va_start(ap, fmt);
    buf_vprintf(&text, fmt, ap);
    va_end(ap);
    if (text.overflow) {
        /* Keep the start of an over-long line rather than losing it. */
        text.overflow = false;
        va_start(ap, fmt);
        char *to = buf_reserve(&text, LOG_LINE_MAX);
        if (to) {
            vsnprintf(to, LOG_LINE_MAX, fmt, ap);
            buf_commit(&text, strlen(to));
        }
        va_end(ap);
    }
    _cleanup_buf_ struct buf line = BUF_INIT;
    char when[TIME_TEXT_SIZE];
    time_format_rfc3339(clock_realtime_us(), when);
    buf_printf(&line, "%s %s %s: ", when, names[level], g_program);
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if (c < 0x20 || c == 0x7f)
            buf_printf(&line, "\\x%02x", c);
        else
            buf_putc(&line, (char)c);
    }
    buf_putc(&line, '\n');
    /* One write: lines of several processes that share stderr do not mix. */
    ssize_t ignored = write(STDERR_FILENO, line.p, line.n);
    (void)ignored; /* nowhere to complain */
    write_file(&line);
}
