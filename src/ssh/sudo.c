#include <errno.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "ssh/internal.h"

/* Users but root become root by sudo, which has conditions of its own. */

enum { SUDO_SECONDS = 30, SAID_MAX = 4096 };

/* Where sudo wants a terminal, `script` makes one on the host. It is sudo's controlling terminal
 * and nothing else: input and output stay the channel's, to the byte, past it. */
#define ON_TERMINAL                                                                                \
    "command -v script >/dev/null 2>&1 || "                                                        \
    "{ echo \"sudo: a terminal is required, and there is no program script to make one\" >&2; "    \
    "exit 127; }; exec 3<&0 4>&1 5>&2 </dev/null >/dev/null 2>&1; "                                \
    "exec script -qec \"exec sudo -n sh -c \\\"\\$DCOS_COMMAND\\\" "                               \
    "<&3 >&4 2>&5 3<&- 4>&- 5>&-\" /dev/null"

char *ssh_shell_command(const struct ssh_link *l, const char *script)
{
    _cleanup_free_ char *word = ssh_quote(script);
    switch (l->sudo) {
    case SUDO_PLAIN:
        return xasprintf("exec env LC_ALL=C sudo -n sh -c %s", word);
    case SUDO_TERMINAL: {
        _cleanup_free_ char *outer = ssh_quote(ON_TERMINAL);
        return xasprintf("exec env LC_ALL=C SHELL=/bin/sh DCOS_COMMAND=%s sh -c %s", word, outer);
    }
    case SUDO_NONE:
        break;
    }
    return xasprintf("exec sh -c %s", word);
}

static void keep(bool is_stderr, const char *p, size_t n, void *userdata)
{
    struct buf *said = userdata;
    if (said->n < SAID_MAX)
        buf_append(said, p, MIN(n, (size_t)SAID_MAX - said->n));
}

static int try_root(struct ssh_link *l, struct buf *said, int *ret_status, struct error *err)
{
    const struct ssh_output output = {keep, said};
    buf_clear(said);
    return ssh_link_run(l, "true", SUDO_SECONDS * USEC_PER_SEC, &output, ret_status, err);
}

static struct str last_line(const struct buf *said)
{
    struct str rest = str_trim(buf_str(said)), line = {"no word of why", strlen("no word of why")};
    while (rest.n > 0 && str_split(&rest, '\n', &line))
        ;
    return line;
}

int ssh_link_become_root(struct ssh_link *l, const char *user, struct error *err)
{
    _cleanup_buf_ struct buf said = BUF_INIT;
    int status = 0;
    if (streq(user, "root"))
        return 0;
    l->sudo = SUDO_PLAIN;
    int r = try_root(l, &said, &status, err);
    if (r == 0 && status != 0 && strstr(buf_cstr(&said), "must have a tty")) {
        l->sudo = SUDO_TERMINAL;
        r = try_root(l, &said, &status, err);
    }
    if (r < 0)
        return error_prefix(err, r, "becoming root by sudo");
    if (status == 0)
        return 0;
    const char *text = buf_cstr(&said);
    if (strstr(text, "password"))
        return error_set(err, -EPERM,
            "sudo asks for the password of user %.64s, which must be let do without (NOPASSWD)",
            user);
    if (strstr(text, "sudo: not found") || strstr(text, "No such file"))
        return error_set(err, -EPERM, "user %.64s needs sudo, and the host does not have it", user);
    struct str line = last_line(&said);
    return error_set(err, -EPERM, "user %.64s does not become root by sudo: " STR_FMT, user,
        (int)MIN(line.n, (size_t)200), line.p);
}
