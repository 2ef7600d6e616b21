#include "mkpanda/buildinfo.h"

#include <errno.h>

#include "base/file.h"
#include "pkgpanda/id.h"
#include "pkgpanda/package.h"

static bool is_hex40(const char *text)
{
    return strlen(text) == 40 && strspn(text, "0123456789abcdef") == 40;
}

/* ---- sources ---- */

static const struct {
    const char *kind;
    const char *keys[4]; /* besides "kind": exactly these */
} kinds[] = {
    [SOURCE_GIT] = {"git", {"git", "ref", "ref_origin"}},
    [SOURCE_GIT_LOCAL] = {"git_local", {"rel_path"}},
    [SOURCE_URL] = {"url", {"url", "sha1"}},
    [SOURCE_URL_EXTRACT] = {"url_extract", {"url", "sha1"}},
    [SOURCE_LOCAL] = {"local", {"rel_path"}},
};

static int check_keys(const char *name, const json_t *json, size_t kind, struct error *err)
{
    size_t wanted = 1;
    for (; wanted <= 3 && kinds[kind].keys[wanted - 1]; wanted++) {
        const char *key = kinds[kind].keys[wanted - 1];
        if (!json_str_at(json, key, NULL))
            return error_set(err, -EINVAL, "source %s of kind %s needs '%s', a string", name,
                kinds[kind].kind, key);
    }
    if (json_object_size(json) == wanted)
        return 0;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)json, key, value)
    {
        bool known = streq(key, "kind");
        for (size_t i = 0; i + 1 < wanted; i++)
            known = known || streq(key, kinds[kind].keys[i]);
        if (!known)
            return error_set(err, -EINVAL, "source %s of kind %s has the unknown key '%.64s'", name,
                kinds[kind].kind, key);
    }
    return 0;
}

int source_parse(const char *name, const json_t *json, struct source *ret, struct error *err)
{
    const char *kind = json_str_at(json, "kind", NULL);
    size_t i = 0;
    if (!package_name_valid(str_of(name)))
        return error_set(err, -EINVAL, "source name '%.100s' is not allowed", name);
    if (!kind)
        return error_set(err, -EINVAL, "source %s must be an object with a kind", name);
    while (i < ARRAY_SIZE(kinds) && !streq(kinds[i].kind, kind))
        i++;
    if (i == ARRAY_SIZE(kinds))
        return error_set(err, -EINVAL,
            "source %s has the unknown kind '%.64s': git, git_local, local, url and url_extract "
            "are known",
            name, kind);
    int r = check_keys(name, json, i, err);
    if (r < 0)
        return r;
    struct source s = {.name = name,
        .kind = (enum source_kind)i,
        .git = json_str_at(json, "git", NULL),
        .ref = json_str_at(json, "ref", NULL),
        .ref_origin = json_str_at(json, "ref_origin", NULL),
        .url = json_str_at(json, "url", NULL),
        .sha1 = json_str_at(json, "sha1", NULL),
        .rel_path = json_str_at(json, "rel_path", NULL)};
    if (s.ref && !is_hex40(s.ref))
        return error_set(
            err, -EINVAL, "source %s: ref must be a whole commit, 40 hex digits", name);
    if (s.sha1 && !is_hex40(s.sha1))
        return error_set(err, -EINVAL, "source %s: sha1 must be 40 hex digits", name);
    /* They become arguments of git. */
    if ((s.git && *s.git == '-') || (s.ref_origin && *s.ref_origin == '-'))
        return error_set(err, -EINVAL, "source %s: nothing may begin with '-'", name);
    if (s.rel_path && *s.rel_path == '/')
        return error_set(err, -EINVAL, "source %s: rel_path must be relative", name);
    *ret = s;
    return 0;
}

static int read_sources(struct buildinfo *b, struct error *err)
{
    const json_t *single = json_at(b->json, "single_source"), *many = json_at(b->json, "sources");
    const char *name;
    json_t *value;
    if (single && many)
        return error_set(err, -EINVAL, "sources and single_source exclude each other");
    if (many && !json_is_object(many))
        return error_set(err, -EINVAL, "sources must be an object");
    size_t n = single ? 1 : json_object_size(many);
    if (n > SOURCES_MAX)
        return error_set(err, -EINVAL, "more than %d sources", SOURCES_MAX);
    b->sources = xnew_array(struct source, n + 1);
    if (single) {
        b->n_sources = 1;
        return source_parse(b->name, single, &b->sources[0], err);
    }
    json_object_foreach((json_t *)(uintptr_t)many, name, value)
    {
        int r = source_parse(name, value, &b->sources[b->n_sources], err);
        if (r < 0)
            return r;
        b->n_sources++;
    }
    return 0;
}

/* ---- the rest ---- */

static int check_known(const json_t *json, struct error *err)
{
    static const char *const known[] = {"requires", "single_source", "sources", "build_script",
        "docker", "environment", "state_directory", "username", "group", "sysctl"};
    static const char *const forbidden[] = {
        "name", "variant", "pkgpanda_version", "build", "extra_source"};
    const char *key;
    json_t *value;
    _cleanup_strings_ struct strings unknown = {0};
    json_object_foreach((json_t *)(uintptr_t)json, key, value)
    {
        bool found = false;
        for (size_t i = 0; i < ARRAY_SIZE(forbidden); i++)
            if (streq(key, forbidden[i]))
                return error_set(
                    err, -EINVAL, "'%s' is set by the builder and may not be given", key);
        for (size_t i = 0; i < ARRAY_SIZE(known); i++)
            found = found || streq(key, known[i]);
        if (!found)
            strings_add(&unknown, key);
    }
    if (unknown.n == 0)
        return 0;
    _cleanup_free_ char *list = strings_join(&unknown);
    return error_set(err, -EINVAL, "unknown keys: %.300s", list);
}

static int read_requires(struct buildinfo *b, struct error *err)
{
    const json_t *list = json_at(b->json, "requires");
    size_t i;
    json_t *value;
    if (json_array_size(list) > REQUIRES_MAX)
        return error_set(err, -EINVAL, "more than %d requires", REQUIRES_MAX);
    b->requires = xnew_array(struct requirement, json_array_size(list) + 1);
    json_array_foreach((json_t *)(uintptr_t)list, i, value)
    {
        struct requirement *q = &b->requires[b->n_requires++];
        q->name = json_is_string(value) ? json_string_value(value)
                                        : json_str_at(value, "name", NULL);
        if (json_is_object(value))
            q->variant = json_str_at(value, "variant", "");
    }
    return 0;
}

static int read_fields(struct buildinfo *b, struct error *err)
{
    const json_t *json = b->json;
    if (!json_is_object(json))
        return error_set(err, -EINVAL, "must be an object");
    int r = check_known(json, err);
    if (r == 0)
        r = pkginfo_check(json, err); /* what goes to pkginfo.json has its rules */
    if (r == 0)
        r = read_sources(b, err);
    if (r == 0)
        r = read_requires(b, err);
    if (r < 0)
        return r;
    const json_t *script = json_at(json, "build_script"), *docker = json_at(json, "docker");
    if ((script && !json_is_string(script)) || (docker && !json_is_string(docker)))
        return error_set(err, -EINVAL, "build_script and docker must be strings");
    b->build_script = json_string_value(script);
    if (b->build_script && (strchr(b->build_script, '/') || *b->build_script == '.'))
        return error_set(err, -EINVAL, "build_script must be a file in the package's folder");
    b->environment = json_at(json, "environment");
    b->sysctl = json_at(json, "sysctl");
    b->username = json_str_at(json, "username", NULL);
    b->group = json_str_at(json, "group", NULL);
    b->state_directory = json_bool_at(json, "state_directory", false);
    if (b->username && !user_name_valid(b->username))
        return error_set(
            err, -EINVAL, "username '%.64s' is not allowed: dcos_[a-z0-9_]+", b->username);
    if (b->group && !group_name_valid(b->group))
        return error_set(err, -EINVAL, "group '%.64s' is not a valid name", b->group);
    return 0;
}

int buildinfo_parse(const char *name, const char *variant, const char *text, size_t n,
    struct buildinfo **ret, struct error *err)
{
    _cleanup_(buildinfo_freep)
    struct buildinfo *b = xnew(struct buildinfo);
    b->name = xstrdup(name);
    b->variant = xstrdup(variant);
    if (!package_name_valid(str_of(name)))
        return error_set(err, -EINVAL, "'%.100s' is no package name", name);
    int r = str_trim((struct str){text, n}).n == 0 ? 0 : json_parse(text, n, &b->json, err);
    if (r == 0 && !b->json)
        b->json = json_object();
    if (r == 0)
        r = read_fields(b, err);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(b);
    return 0;
}

int buildinfo_load(
    const char *folder, const char *variant, struct buildinfo **ret, struct error *err)
{
    const char *slash = strrchr(folder, '/');
    _cleanup_free_ char *prefix = variant_prefix(variant);
    _cleanup_free_ char *path = xasprintf("%s/%s" BUILDINFO_NAME, folder, prefix);
    _cleanup_buf_ struct buf text = BUF_INIT;
    int r = file_read(path, BUILDINFO_MAX, &text, err);
    if (r == 0)
        r = buildinfo_parse(slash ? slash + 1 : folder, variant, buf_cstr(&text), text.n, ret, err);
    return r < 0 ? error_prefix(err, r, "%s", path) : 0;
}

void buildinfo_free(struct buildinfo *b)
{
    free(b->name);
    free(b->variant);
    free(b->sources);
    free(b->requires);
    json_decref(b->json);
    free(b);
}

int buildinfo_variants(const char *folder, struct strings *ret, struct error *err)
{
    _cleanup_strings_ struct strings names = {0};
    int r = strings_read_folder(folder, &names, err);
    for (size_t i = 0; i < names.n && r == 0; i++) {
        const char *name = names.items[i];
        if (!has_suffix(name, BUILDINFO_NAME))
            continue;
        size_t n = strlen(name) - strlen(BUILDINFO_NAME);
        if (n == 0) {
            strings_add(ret, "");
            continue;
        }
        if (n == 1 || name[n - 1] != '.')
            return error_set(err, -EINVAL,
                "%s/%s: a variant's file is called <variant>." BUILDINFO_NAME, folder, name);
        _cleanup_free_ char *variant = xstrndup(name, n - 1);
        strings_add(ret, variant);
    }
    strings_sort(ret);
    return r;
}

char *variant_prefix(const char *variant)
{
    return *variant ? xasprintf("%s.", variant) : xstrdup("");
}
