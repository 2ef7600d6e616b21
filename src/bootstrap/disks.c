#include <errno.h>
#include <stdlib.h>
#include <sys/statvfs.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"
#include "base/parse.h"
#include "bootstrap/bootstrap.h"
#include "pkgpanda/names.h"

static const char CACHE[] = "/var/lib/dcos/mesos-resources",
                  VARIABLE[] = "MESOS_RESOURCES=", VOLUMES[] = "/dcos/volume";

enum {
    MOUNT_HEADROOM_MB = 100,
    ROOT_HEADROOM_MB = 5 * 1024, /* left to the system, or half of what there is */
    MIB = 1024 * 1024,
};

/* Megabytes; 0 when nothing can be said. */
static int64_t space(const struct node *n, const char *path, bool all)
{
    struct statvfs fs;
    _cleanup_free_ char *full = node_path(n, path);
    if (statvfs(full, &fs) < 0)
        return 0;
    return (int64_t)((all ? fs.f_blocks : fs.f_bavail) * (fs.f_frsize / 512) / (MIB / 512));
}

static json_t *disk(const char *role, const char *mount, int64_t mb)
{
    json_t *d = json_object();
    json_object_set_new(d, "name", json_string("disk"));
    json_object_set_new(d, "type", json_string("SCALAR"));
    json_object_set_new(d, "role", json_string(role));
    json_t *scalar = json_object();
    json_object_set_new(scalar, "value", json_integer(mb));
    json_object_set_new(d, "scalar", scalar);
    if (!mount)
        return d;
    json_t *root = json_object(), *source = json_object(), *info = json_object();
    json_object_set_new(root, "root", json_string(mount));
    json_object_set_new(source, "type", json_string("MOUNT"));
    json_object_set_new(source, "mount", root);
    json_object_set_new(info, "source", source);
    json_object_set_new(d, "disk", info);
    return d;
}

/* Mount points /dcos/volume0 and so on, sorted. */
static void find_volumes(const char *mounts, struct strings *ret)
{
    struct str rest = str_of(mounts), line, field;
    while (str_split(&rest, '\n', &line)) {
        uint64_t number;
        if (!str_split(&line, ' ', &field) || !str_split(&line, ' ', &field) ||
            !str_has_prefix(field, str_of(VOLUMES)))
            continue;
        struct str digits = {field.p + strlen(VOLUMES), field.n - strlen(VOLUMES)};
        if (parse_u64(digits, &number) < 0)
            continue;
        _cleanup_free_ char *path = str_dup(field);
        strings_add(ret, path);
    }
    strings_sort(ret);
}

static json_t *measure(
    const struct node *n, const struct strings *volumes, const char *work_dir, const char *role)
{
    json_t *list = json_array();
    const int64_t root = space(n, work_dir, true);
    json_array_append_new(
        list, disk(role, NULL, root > 2 * ROOT_HEADROOM_MB ? root - ROOT_HEADROOM_MB : root / 2));
    for (size_t i = 0; i < volumes->n; i++) {
        const int64_t mb = space(n, volumes->items[i], false) - MOUNT_HEADROOM_MB;
        if (mb > 0)
            json_array_append_new(list, disk(role, volumes->items[i], mb));
        else
            log_warn("a volume is too small to be offered path=%s", volumes->items[i]);
    }
    return list;
}

static int parse_list(const char *what, const char *text, json_t **ret, struct error *err)
{
    json_t *json = NULL;
    int r = json_parse(text, strlen(text), &json, err);
    if (r < 0)
        return error_prefix(err, r, "%s", what);
    if (!json_is_array(json)) {
        json_decref(json);
        return error_set(err, -EINVAL, "%s: expected a JSON list of resources", what);
    }
    *ret = json;
    return 0;
}

/* The list in a file like MESOS_RESOURCES='[...]'. */
static int read_cache(const char *text, json_t **ret, struct error *err)
{
    struct str s = str_trim(str_of(text));
    if (!str_has_prefix(s, str_of(VARIABLE)))
        return error_set(err, -EINVAL, "%s: expected MESOS_RESOURCES='[...]'", CACHE);
    s = (struct str){s.p + strlen(VARIABLE), s.n - strlen(VARIABLE)};
    if (s.n >= 2 && (s.p[0] == '\'' || s.p[0] == '"') && s.p[s.n - 1] == s.p[0])
        s = (struct str){s.p + 1, s.n - 2};
    _cleanup_free_ char *list = str_dup(s);
    return parse_list(CACHE, list, ret, err);
}

static int write_cache(const struct node *n, const json_t *list, struct error *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT, body = BUF_INIT;
    json_dump(list, &body);
    buf_printf(&text, "%s'%s'\n", VARIABLE, buf_cstr(&body));
    int r = node_folder(n, "/var/lib/dcos", NULL, 0755, err);
    return r < 0 ? r : node_file(n, CACHE, buf_cstr(&text), NULL, 0644, err);
}

static bool has_name(const json_t *list, const char *name)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (streq(json_str_at(json_array_get(list, i), "name", ""), name))
            return true;
    return false;
}

int disks_resources(const struct node *n, const char *given, const char *mounts,
    const char *work_dir, const char *role, char **ret, struct error *err)
{
    _cleanup_free_ char *cached = node_text(n, CACHE);
    _cleanup_strings_ struct strings volumes = {0};
    _cleanup_json_ json_t *known = NULL, *rest = NULL;
    int r = 0;
    *ret = NULL;
    if (cached) {
        r = read_cache(cached, &known, err);
    } else {
        find_volumes(mounts, &volumes);
        if (volumes.n == 0)
            return 0;
        known = measure(n, &volumes, work_dir, role);
        r = write_cache(n, known, err);
    }
    if (r == 0 && given)
        r = parse_list("MESOS_RESOURCES", given, &rest, err);
    if (r < 0)
        return r;
    for (size_t i = 0; i < json_array_size(rest); i++) {
        json_t *one = json_array_get(rest, i);
        if (!has_name(known, json_str_at(one, "name", "")))
            json_array_append(known, one);
    }
    _cleanup_buf_ struct buf text = BUF_INIT;
    json_dump(known, &text);
    *ret = buf_steal(&text);
    return 0;
}
