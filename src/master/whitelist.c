#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "master/shell.h"

/* --whitelist: a file with the names of the hosts whose agents are offered, one a line, read anew
 * every few seconds. */

enum { WHITELIST_BYTES_MAX = 16 * 1024 * 1024 };
static const int64_t POLL_US = 5 * USEC_PER_SEC;

static void tell_core(struct shell *s, const struct buf *text)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    VEC(const char *) names = {0};
    struct str rest = {text->p, text->n}, line;
    while (rest.n && str_split(&rest, '\n', &line)) {
        line = str_trim(line);
        if (line.n)
            vec_push(&names, arena_strndup(&arena, line.p, line.n));
    }
    static const char *const none[] = {NULL};
    master_core_whitelist(s->core, names.n ? names.items : none, names.n, shell_now(s));
    log_info("whitelist read hosts=%zu", names.n);
    vec_done(&names);
}

static int read_whitelist(struct shell *s, struct error *err)
{
    struct buf text = BUF_INIT;
    int r = file_read(s->whitelist_path, WHITELIST_BYTES_MAX, &text, err);
    if (r < 0) {
        buf_done(&text);
        return r;
    }
    if (!s->whitelist_read || text.n != s->whitelist_text.n ||
        (text.n && memcmp(text.p, s->whitelist_text.p, text.n) != 0))
        tell_core(s, &text);
    s->whitelist_read = true;
    buf_done(&s->whitelist_text);
    s->whitelist_text = text;
    return 0;
}

static void poll_whitelist(struct timer *t)
{
    struct shell *s = container_of(t, struct shell, whitelist_timer);
    struct error err = ERROR_INIT;
    if (read_whitelist(s, &err) < 0)
        log_warn("cannot read the whitelist, the last one stays in force error=%s", err.msg);
    timer_start(t, POLL_US);
    if (shell_ready(s))
        shell_wake(s);
}

int whitelist_start(struct shell *s, const char *flag, struct error *err)
{
    timer_init(&s->whitelist_timer, s->loop, poll_whitelist);
    if (!flag || !flag[0] || streq(flag, "*"))
        return 0;
    s->whitelist_path = has_prefix(flag, "file://") ? flag + strlen("file://") : flag;
    int r = read_whitelist(s, err);
    if (r < 0)
        return error_prefix(err, r, "--whitelist");
    timer_start(&s->whitelist_timer, POLL_US);
    return 0;
}

void whitelist_stop(struct shell *s)
{
    timer_stop(&s->whitelist_timer);
    buf_done(&s->whitelist_text);
}
