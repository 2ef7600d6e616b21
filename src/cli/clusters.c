#include "cli/clusters.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

int clusters_dir(char **ret, struct error *err)
{
    const char *dir = getenv("DCOS_DIR");
    if (dir && *dir) {
        char *absolute = realpath(dir, NULL);
        _cleanup_free_ char *cwd = NULL;
        if (!absolute && dir[0] != '/')
            cwd = getcwd(NULL, 0);
        *ret = absolute ?: cwd ? path_join(cwd, dir) : xstrdup(dir);
        return 0;
    }
    const char *home = getenv("HOME");
    if (!home || !*home) {
        struct passwd *pw = getpwuid(getuid());
        home = pw ? pw->pw_dir : NULL;
    }
    if (!home)
        return error_set(
            err, -ENOENT, "cannot tell your home directory; set DCOS_DIR to a folder for settings");
    *ret = path_join(home, ".dcos");
    return 0;
}

int settings_read(const char *path, struct toml *ret, struct error *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    struct error why = ERROR_INIT;
    int r = file_read(path, TOML_SIZE_MAX, &text, &why);
    if (r == -ENOENT || r == -ENOTDIR)
        return 0;
    if (r < 0)
        return error_set(err, r, "%s", why.msg);
    r = toml_parse(buf_str(&text), ret, err);
    return r < 0 ? error_prefix(err, r, "%s", path) : 0;
}

bool cluster_id_valid(const char *id)
{
    size_t n = strlen(id);
    if (n == 0 || n > CLUSTER_ID_MAX || id[0] == '.')
        return false;
    return strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-") == n;
}

static int by_id(const void *a, const void *b)
{
    const struct known_cluster *x = a, *y = b;
    return strcmp(x->id, y->id);
}

int clusters_load(struct clusters *ret, struct error *err)
{
    struct clusters c = {0};
    int r = clusters_dir(&c.dir, err);
    if (r < 0)
        return r;
    _cleanup_free_ char *base = path_join(c.dir, "clusters");
    DIR *d = opendir(base);
    for (struct dirent *e; d && r == 0 && (e = readdir(d));) {
        struct stat st;
        _cleanup_free_ char *folder = path_join(base, e->d_name);
        if (e->d_name[0] == '.' || stat(folder, &st) < 0 || !S_ISDIR(st.st_mode))
            continue;
        _cleanup_free_ char *marker = path_join(folder, "attached");
        struct known_cluster k = {.id = xstrdup(e->d_name),
            .path = path_join(folder, "dcos.toml"),
            .attached = path_exists(marker)};
        k.folder = TAKE_PTR(folder);
        /* Fails in a folder that is not ours to write: then there are no settings either. */
        (void)fd_close(open(k.path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
        r = settings_read(k.path, &k.toml, err);
        vec_push(&c.items, k);
    }
    if (d)
        closedir(d);
    if (r < 0) {
        clusters_done(&c);
        return r;
    }
    if (c.items.n)
        qsort(c.items.items, c.items.n, sizeof(*c.items.items), by_id);
    *ret = c;
    return 0;
}

void clusters_done(struct clusters *c)
{
    VEC_FOREACH (k, &c->items) {
        free(k->id);
        free(k->folder);
        free(k->path);
        toml_done(&k->toml);
    }
    vec_done(&c->items);
    free(c->dir);
    *c = (struct clusters){0};
}

const char *known_get(const struct known_cluster *k, const char *name, const char *fallback)
{
    const struct toml_line *line = toml_get(&k->toml, name);
    return line ? line->value : fallback;
}

ssize_t clusters_find(const struct clusters *c, const char *word, bool prefix, struct error *err)
{
    ssize_t found = -1, by_prefix = -1;
    size_t n = 0, n_prefix = 0;
    for (size_t i = 0; i < c->items.n; i++) {
        const struct known_cluster *k = &c->items.items[i];
        if (streq(k->id, word))
            return (ssize_t)i;
        if (streq(known_get(k, "cluster.name", NULL), word)) {
            found = (ssize_t)i;
            n++;
        }
        if (prefix && *word && has_prefix(k->id, word)) {
            by_prefix = (ssize_t)i;
            n_prefix++;
        }
    }
    if (n == 0) {
        found = by_prefix;
        n = n_prefix;
    }
    if (n == 1)
        return found;
    return n ? error_set(err, -EEXIST, "multiple matches found")
             : error_set(err, -ENOENT, "no match found");
}

ssize_t clusters_current(const struct clusters *c, struct error *err)
{
    const char *wanted = getenv("DCOS_CLUSTER");
    if (wanted && *wanted) {
        struct error why = ERROR_INIT;
        ssize_t i = clusters_find(c, wanted, false, &why);
        return i < 0 ? error_set(err, (int)i, "%s: DCOS_CLUSTER is '%s'", why.msg, wanted) : i;
    }
    if (c->items.n == 1)
        return 0;
    ssize_t found = -1;
    for (size_t i = 0; i < c->items.n; i++) {
        if (!c->items.items[i].attached)
            continue;
        if (found >= 0)
            return error_set(err, -EEXIST,
                "multiple clusters are attached; name one in DCOS_CLUSTER (they are in "
                "%s/clusters)",
                c->dir);
        found = (ssize_t)i;
    }
    if (found < 0)
        return error_set(err, -ENOENT,
            "no cluster is attached. Please run `dcos cluster attach <cluster-name>`");
    return found;
}

int clusters_attach(struct clusters *c, size_t index, struct error *err)
{
    struct known_cluster *to = &c->items.items[index];
    _cleanup_free_ char *target = path_join(to->folder, "attached");
    bool done = to->attached;
    for (size_t i = 0; i < c->items.n; i++) {
        struct known_cluster *from = &c->items.items[i];
        if (i == index || !from->attached)
            continue;
        _cleanup_free_ char *marker = path_join(from->folder, "attached");
        /* Renamed, so that at no moment there are two, or none. */
        if ((done ? unlink(marker) : rename(marker, target)) < 0)
            return error_errno(err, -errno, "cannot move %s", marker);
        from->attached = false;
        done = true;
    }
    if (!done) {
        int r = file_write_atomic(target, "", 0, 0644, err);
        if (r < 0)
            return r;
    }
    to->attached = true;
    return 0;
}
