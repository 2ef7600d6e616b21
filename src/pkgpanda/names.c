#include "pkgpanda/names.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

void strings_done(struct strings *s)
{
    for (size_t i = 0; i < s->n; i++)
        free(s->items[i]);
    vec_done(s);
}

void strings_add(struct strings *s, const char *text)
{
    vec_push(s, xstrdup(text));
}

bool strings_has(const struct strings *s, const char *text)
{
    for (size_t i = 0; i < s->n; i++)
        if (streq(s->items[i], text))
            return true;
    return false;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void strings_sort(struct strings *s)
{
    if (s->n < 2)
        return;
    qsort(s->items, s->n, sizeof(*s->items), by_bytes);
    size_t kept = 1;
    for (size_t i = 1; i < s->n; i++) {
        if (streq(s->items[i], s->items[kept - 1]))
            free(s->items[i]);
        else
            s->items[kept++] = s->items[i];
    }
    s->n = kept;
}

char *strings_join(const struct strings *s)
{
    struct buf b = BUF_INIT;
    for (size_t i = 0; i < s->n; i++)
        buf_printf(&b, "%s%s", i ? ", " : "", s->items[i]);
    return buf_steal(&b);
}

int strings_read_folder(const char *path, struct strings *ret, struct error *err)
{
    DIR *dir = opendir(path);
    if (!dir)
        return errno == ENOENT ? 0 : error_errno(err, -errno, "cannot read %s", path);
    errno = 0;
    for (struct dirent *e; (e = readdir(dir)); errno = 0)
        if (!streq(e->d_name, ".") && !streq(e->d_name, ".."))
            strings_add(ret, e->d_name);
    int r = errno ? error_errno(err, -errno, "cannot read %s", path) : 0;
    closedir(dir);
    strings_sort(ret);
    return r;
}
