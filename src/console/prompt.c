#include "console/prompt.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/parse.h"

/* Byte by byte: what follows the line is for others. */
static int read_line(struct buf *out, struct error *err)
{
    for (;;) {
        char c;
        ssize_t n = read(STDIN_FILENO, &c, 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_errno(err, -errno, "cannot read stdin");
        if (n == 0)
            return out->n ? 0 : error_set(err, -ENODATA, "there was no answer on stdin");
        if (c == '\n')
            break;
        if (out->n == PROMPT_LINE_MAX)
            return error_set(err, -E2BIG, "the answer is longer than %d bytes", PROMPT_LINE_MAX);
        buf_putc(out, c);
    }
    if (out->n && out->p[out->n - 1] == '\r')
        out->p[--out->n] = '\0';
    return 0;
}

/* Restored also when Ctrl-C comes meanwhile. */
static struct termios terminal;

static void on_interrupt(int signum)
{
    (void)tcsetattr(STDIN_FILENO, TCSANOW, &terminal);
    (void)signal(signum, SIG_DFL);
    (void)raise(signum);
}

int prompt_line(const char *question, bool hidden, char **ret, struct error *err)
{
    struct buf line = BUF_INIT;
    bool silent = hidden && tcgetattr(STDIN_FILENO, &terminal) == 0;
    void (*before)(int) = SIG_DFL;
    if (silent) {
        struct termios quiet = terminal;
        quiet.c_lflag &= ~(tcflag_t)ECHO;
        before = signal(SIGINT, on_interrupt);
        (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
    }
    /* Asked only now: an answer that comes at once is neither echoed nor thrown away. */
    fputs(question, stdout);
    fflush(stdout);
    int r = read_line(&line, err);
    if (silent) {
        (void)tcsetattr(STDIN_FILENO, TCSANOW, &terminal);
        (void)signal(SIGINT, before);
        putchar('\n'); /* the one that was not echoed */
    }
    if (r < 0) {
        buf_done(&line);
        return r;
    }
    *ret = buf_steal(&line);
    if (!*ret)
        *ret = xstrdup("");
    return 0;
}

static bool is_one_of(const char *text, const char *const *words, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (streq(text, words[i]))
            return true;
    return false;
}

int prompt_confirm(const char *question, int fallback, struct error *err)
{
    static const char *const yes[] = {"y", "yes", "Y", "Yes"}, *const no[] = {"n", "no", "N", "No"};
    for (int i = 0; i < PROMPT_ATTEMPTS; i++) {
        _cleanup_free_ char *answer = NULL;
        int r = prompt_line(question, false, &answer, err);
        if (r < 0)
            return error_set(err, -ENODATA, "couldn't get confirmation");
        if (!*answer && fallback >= 0)
            return fallback;
        if (is_one_of(answer, yes, ARRAY_SIZE(yes)))
            return 1;
        if (is_one_of(answer, no, ARRAY_SIZE(no)))
            return 0;
    }
    return error_set(err, -ENODATA, "couldn't get confirmation");
}

int prompt_choice(const char *question, unsigned n, unsigned *ret, struct error *err)
{
    for (int i = 0; i < PROMPT_ATTEMPTS; i++) {
        _cleanup_free_ char *answer = NULL;
        uint32_t number;
        int r = prompt_line(question, false, &answer, err);
        if (r < 0)
            return r;
        if (parse_u32(str_trim(str_of(answer)), &number) == 0 && number >= 1 && number <= n) {
            *ret = number;
            return 0;
        }
    }
    return error_set(err, -EINVAL, "none of 1 to %u was chosen", n);
}
