/*
 * dcos-fetcher: brings the URIs of a task into its sandbox. The agent runs it as the task's user,
 * with one JSON document on stdin and stderr appended to the sandbox's.
 */

#include <errno.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/flags.h"
#include "fetcher/fetch.h"

enum { INPUT_MAX = 16 * 1024 * 1024, EXIT_USAGE = 2 };

static int read_input(struct buf *out, struct error *err)
{
    for (;;) {
        char *p = buf_reserve(out, BUFSIZ);
        ssize_t n = p ? read(STDIN_FILENO, p, BUFSIZ) : 0;
        if (!p)
            return error_set(err, -EMSGSIZE, "the request is larger than %d bytes", INPUT_MAX);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_errno(err, -errno, "reading the request");
        if (n == 0)
            return 0;
        buf_commit(out, (size_t)n);
    }
}

/* Names come from strangers: control characters must not forge lines. */
static void put_line(const char *line, void *userdata)
{
    _cleanup_buf_ struct buf b = BUF_INIT;
    buf_puts(&b, "dcos-fetcher: ");
    for (; *line; line++)
        buf_putc(&b, (unsigned char)*line < 0x20 || *line == 0x7f ? '?' : *line);
    buf_putc(&b, '\n');
    (void)fwrite(b.p, 1, b.n, stderr); /* nobody is left to tell */
}

int main(int argc, char **argv)
{
    static const struct program program = {"dcos-fetcher",
        "brings the URIs of a task into its sandbox; the agent sends the request on stdin", NULL,
        DCOS_VERSION};
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    _cleanup_buf_ struct buf input = BUF_INIT_MAX(INPUT_MAX);
    struct fetch_request request;
    struct error err = ERROR_INIT;
    int r = flags_parse(&program, NULL, 0, argc, argv, &err);
    if (r > 0)
        return 0;
    signal(SIGPIPE, SIG_IGN);
    setlocale(LC_CTYPE, "C.UTF-8"); /* for names in archives */
    umask(022);
    if (r == 0)
        r = read_input(&input, &err);
    if (r == 0)
        r = fetch_request_parse(buf_cstr(&input), input.n, &arena, &request, &err);
    if (r < 0) {
        put_line(err.msg, NULL);
        return EXIT_USAGE;
    }
    r = fetch_run(&request, put_line, NULL, &err);
    if (r < 0)
        put_line(err.msg, NULL);
    return r < 0;
}
