#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/file.h"
#include "gen/gen-internal.h"
#include "pkgpanda/hash.h"

/* The files that a configuration names, on the disk. */

enum { BINS_MAX = 1000 };

static char *full_name(const struct gen *g, const char *name)
{
    return *name == '/' || !g->folder ? xstrdup(name) : path_join(g->folder, name);
}

static int disk_read(
    void *userdata, const char *name, size_t max, struct buf *out, struct error *err)
{
    _cleanup_free_ char *path = full_name(userdata, name);
    return file_read(path, max, out, err);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int disk_list(void *userdata, const char *name, struct buf *out, struct error *err)
{
    _cleanup_free_ char *path = full_name(userdata, name);
    _cleanup_json_ json_t *list = json_array();
    VEC(char *) names = {0};
    int r = 0;
    DIR *d = opendir(path);
    if (!d)
        return error_errno(err, -errno, "%s", path);
    for (struct dirent *e; (e = readdir(d)) && r == 0;) {
        if (streq(e->d_name, ".") || streq(e->d_name, ".."))
            continue;
        if (names.n == BINS_MAX)
            r = error_set(err, -EFBIG, "%s: more than %d files", path, (int)BINS_MAX);
        else
            vec_push(&names, xstrdup(e->d_name));
    }
    closedir(d);
    if (names.n)
        qsort(names.items, names.n, sizeof(*names.items), by_name);
    for (size_t i = 0; i < names.n && r == 0; i++) {
        _cleanup_free_ char *file = path_join(path, names.items[i]);
        char sha1[SHA1_TEXT];
        struct stat st;
        if (stat(file, &st) < 0)
            r = error_errno(err, -errno, "%s", file);
        else if (S_ISDIR(st.st_mode))
            r = error_set(err, -EISDIR, "%s is a folder", file);
        else if (!S_ISREG(st.st_mode))
            r = error_set(err, -EINVAL, "%s is not a file", file);
        else
            r = sha1_file(file, sha1, err);
        if (r == 0)
            json_array_append_new(list, json_pack("[s,s]", names.items[i], sha1));
    }
    VEC_FOREACH (n, &names) {
        free(*n);
    }
    vec_done(&names);
    if (r == 0)
        config_dump(list, out);
    return r;
}

const struct gen_files gen_disk_files = {.read = disk_read, .list = disk_list};
