/* Paths inside the lists and options of others, each of which has its own way to write a colon. */

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "minidcos/nspawn/nspawn.h"

static void put_escaped(struct buf *out, const char *text, const char *special)
{
    for (const char *p = text; *p; p++) {
        if (strchr(special, *p))
            buf_putc(out, '\\');
        buf_putc(out, *p);
    }
}

void overlay_word(struct buf *out, const char *path)
{
    put_escaped(out, path, "\\:,");
}

void bind_word(struct buf *out, const char *path)
{
    put_escaped(out, path, "\\:");
}

void ssh_config_word(struct buf *out, const char *path)
{
    buf_putc(out, '"');
    for (const char *p = path; *p; p++) {
        if (*p == '"' || *p == '\\')
            buf_putc(out, '\\');
        else if (*p == '%')
            buf_putc(out, '%');
        buf_putc(out, *p);
    }
    buf_putc(out, '"');
}

void shell_quote(struct buf *out, const char *text)
{
    buf_putc(out, '\'');
    for (const char *p = text; *p; p++) {
        if (*p == '\'')
            buf_puts(out, "'\\''");
        else
            buf_putc(out, *p);
    }
    buf_putc(out, '\'');
}

int check_folder(const char *path, struct error *err)
{
    bool good = !strstr(path, "${");
    for (const unsigned char *p = (const unsigned char *)path; good && *p; p++)
        good = !iscntrl(*p);
    return good ? 0
                : error_set(err, -EINVAL,
                      "clusters cannot be in %s: ssh takes no control characters and no '${' in "
                      "the names of its files",
                      path);
}

int volume_parse(const char *spec, struct volume *ret, struct error *err)
{
    /* What is on the host, what is on the node, how: as systemd-nspawn takes them apart. */
    struct buf parts[3] = {BUF_INIT, BUF_INIT, BUF_INIT};
    size_t n = 0;
    bool good = true;
    for (const char *p = spec; good && *p; p++) {
        if (*p == ':') {
            good = ++n < ARRAY_SIZE(parts);
            continue;
        }
        if (*p == '\\')
            p++;
        good = *p != '\0';
        if (good)
            buf_putc(&parts[n], *p);
    }
    const char *how = buf_cstr(&parts[2]);
    good = good && n >= 1 && buf_cstr(&parts[0])[0] == '/' && buf_cstr(&parts[1])[0] == '/' &&
           (n == 1 || streq(how, "ro") || streq(how, "rw"));
    if (good) {
        ret->source = xstrdup(buf_cstr(&parts[0]));
        ret->target = xstrdup(buf_cstr(&parts[1]));
        ret->read_only = streq(how, "ro");
    }
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
        buf_done(&parts[i]);
    return good ? 0
                : error_set(err, -EINVAL,
                      "write it as /on/host:/on/node[:ro|:rw], a colon in a name as \\:");
}
