#include "pkgpanda/package.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/file.h"

static int all_strings(const json_t *object, const char *what, struct error *err)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        if (!json_is_string(value))
            return error_set(err, -EINVAL, "%s: '%.100s' must be a string", what, key);
    }
    return 0;
}

/* Systemd reads the file line by line; so must nothing else get in. */
static int check_environment(const json_t *environment, struct error *err)
{
    const char *key;
    json_t *value;
    int r = all_strings(environment, "environment", err);
    json_object_foreach((json_t *)(uintptr_t)environment, key, value)
    {
        if (r < 0)
            return r;
        bool fine = *key && !(*key >= '0' && *key <= '9');
        for (const char *p = key; *p; p++)
            fine = fine && (*p == '_' || (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
                               (*p >= '0' && *p <= '9'));
        if (!fine)
            return error_set(
                err, -EINVAL, "environment: '%.100s' cannot be the name of a variable", key);
        for (const char *p = json_string_value(value); *p; p++)
            if ((unsigned char)*p < 0x20 || *p == 0x7f)
                return error_set(
                    err, -EINVAL, "environment: '%.100s' holds a control character", key);
    }
    return r;
}

static int check_requires(const json_t *requires, struct error *err)
{
    size_t i;
    json_t *value;
    json_array_foreach((json_t *)(uintptr_t) requires, i, value)
    {
        const char *name = json_is_string(value) ? json_string_value(value)
                                                 : json_str_at(value, "name", NULL);
        const json_t *variant = json_at(value, "variant");
        if (!name ||
            (json_is_object(value) && (json_object_size(value) != 2 ||
                                          (!json_is_string(variant) && !json_is_null(variant)))))
            return error_set(
                err, -EINVAL, "requires: each must be a name or an object of name and variant");
        if (package_id_valid(name))
            return error_set(
                err, -EINVAL, "requires: '%.100s' is an exact id; name the package only", name);
        if (!package_name_valid(str_of(name)))
            return error_set(err, -EINVAL, "requires: '%.100s' is no package name", name);
    }
    return 0;
}

static int check_sysctl(const json_t *sysctl, struct error *err)
{
    const char *service;
    json_t *values;
    json_object_foreach((json_t *)(uintptr_t)sysctl, service, values)
    {
        if (!json_is_object(values))
            return error_set(err, -EINVAL, "sysctl: '%.100s' must be an object", service);
        int r = all_strings(values, "sysctl", err);
        if (r < 0)
            return r;
    }
    return 0;
}

int pkginfo_check(const json_t *info, struct error *err)
{
    static const struct {
        const char *name;
        json_type type;
        const char *must;
        int (*check)(const json_t *value, struct error *err);
    } members[] = {
        {"environment", JSON_OBJECT, "an object", check_environment},
        {"requires", JSON_ARRAY, "a list", check_requires},
        {"sysctl", JSON_OBJECT, "an object", check_sysctl},
        {"username", JSON_STRING, "a string", NULL},
        {"group", JSON_STRING, "a string", NULL},
        {"variant", JSON_STRING, "a string", NULL},
    };
    if (!json_is_object(info))
        return error_set(err, -EINVAL, "must be an object");
    for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
        const json_t *value = json_object_get(info, members[i].name);
        if (!value || json_is_null(value))
            continue;
        if (json_typeof(value) != members[i].type)
            return error_set(err, -EINVAL, "%s must be %s", members[i].name, members[i].must);
        int r = members[i].check ? members[i].check(value, err) : 0;
        if (r < 0)
            return r;
    }
    const json_t *state = json_object_get(info, "state_directory");
    if (state && !json_is_boolean(state) && !json_is_null(state))
        return error_set(err, -EINVAL, "state_directory must be true or false");
    return 0;
}

int pkginfo_parse(const char *text, size_t n, json_t **ret, struct error *err)
{
    json_t *info = NULL;
    int r = json_parse(text, n, &info, err);
    if (r == 0)
        r = pkginfo_check(info, err);
    if (r < 0) {
        json_decref(info);
        return r;
    }
    *ret = info;
    return 0;
}

static const json_t *present(const json_t *info, const char *key)
{
    const json_t *value = json_object_get(info, key);
    return json_is_null(value) ? NULL : value;
}

static int read_info(struct package *p, struct error *err)
{
    _cleanup_free_ char *path = path_join(p->path, "pkginfo.json");
    _cleanup_buf_ struct buf text = BUF_INIT;
    struct error why = ERROR_INIT;
    int r = file_read(path, PKGINFO_MAX, &text, &why);
    if (r == 0)
        r = pkginfo_parse(buf_cstr(&text), text.n, &p->info, &why);
    if (r < 0)
        return error_set(err, -EBADMSG, "pkginfo.json of package %s: %s", p->id, why.msg);
    p->environment = present(p->info, "environment");
    p->requires = present(p->info, "requires");
    p->sysctl = present(p->info, "sysctl");
    p->username = json_str_at(p->info, "username", NULL);
    p->group = json_str_at(p->info, "group", NULL);
    p->variant = json_str_at(p->info, "variant", "");
    p->state_directory = json_bool_at(p->info, "state_directory", false);
    return 0;
}

int package_load(const char *repository, const char *id, struct package **ret, struct error *err)
{
    struct package_id parts;
    int r = package_id_parse(id, &parts, err);
    if (r < 0)
        return r;
    _cleanup_(package_freep)
    struct package *p = xnew(struct package);
    p->id = xstrdup(id);
    p->name = str_dup(parts.name);
    p->version = str_dup(parts.version);
    p->path = path_join(repository, id);
    struct stat st;
    if (stat(p->path, &st) < 0 && errno == ENOENT)
        return error_set(err, -ENOENT, "Package %s not found.", id);
    r = read_info(p, err);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(p);
    return 0;
}

void package_free(struct package *p)
{
    free(p->id);
    free(p->name);
    free(p->version);
    free(p->path);
    json_decref(p->info);
    free(p);
}

static int by_name(const void *a, const void *b)
{
    const struct package *x = *(struct package *const *)a, *y = *(struct package *const *)b;
    int c = strcmp(x->name, y->name);
    return c ? c : strcmp(x->id, y->id);
}

int packages_load(
    const char *repository, const struct strings *ids, struct packages *ret, struct error *err)
{
    struct packages all = {0};
    for (size_t i = 0; i < ids->n; i++) {
        struct package *p = NULL;
        int r = package_load(repository, ids->items[i], &p, err);
        if (r < 0) {
            packages_done(&all);
            return r;
        }
        vec_push(&all, p);
    }
    if (all.n > 1)
        qsort(all.items, all.n, sizeof(struct package *), by_name);
    *ret = all;
    return 0;
}

void packages_done(struct packages *p)
{
    for (size_t i = 0; i < p->n; i++)
        package_free(p->items[i]);
    vec_done(p);
}
