#include "gen/render.h"

#include <errno.h>

#include "base/alloc.h"
#include "base/embed.h"
#include "gen/graph.h"
#include "gen/template.h"
#include "json/yaml_read.h"
#include "transfer/tree.h"

extern const struct embedded gen_templates[];

/* ---- filters ---- */

static int one_line(const char *value, struct error *err)
{
    for (; *value; value++) {
        if ((unsigned char)*value < 0x20 || *value == 0x7f)
            return error_set(err, -EINVAL, "must be one line without control characters");
    }
    return 0;
}

/* What a late value will be is not known. Else bare where that is safe, in single quotes where it
 * can be, else in double ones with backslashes.
 */
static int filter_env(const char *value, struct buf *out, struct error *err)
{
    static const char safe[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:,@+=%^";
    int r = one_line(value, err);
    if (r < 0)
        return r;
    if (*value && strspn(value, safe) == strlen(value) && !strstr(value, LATE_START)) {
        buf_puts(out, value);
    } else if (!strchr(value, '\'')) {
        buf_printf(out, "'%s'", value);
    } else {
        buf_putc(out, '"');
        for (; *value; value++) {
            if (strchr("\"\\$`", *value))
                buf_putc(out, '\\');
            buf_putc(out, *value);
        }
        buf_putc(out, '"');
    }
    return 0;
}

static int filter_unit(const char *value, struct buf *out, struct error *err)
{
    int r = one_line(value, err);
    if (r < 0)
        return r;
    if (!*value || strpbrk(value, " '\"\\"))
        return error_set(err, -EINVAL, "must be a word without blanks, quotes and backslashes");
    for (; *value; value++) {
        if (*value == '%' || *value == '$')
            buf_putc(out, *value);
        buf_putc(out, *value);
    }
    return 0;
}

static const struct template_filter filters[] = {{"env", filter_env}, {"unit", filter_unit}};

/* ---- documents ---- */

static int merge_at(json_t *into, const json_t *more, const char *at, struct error *err)
{
    const char *key;
    json_t *value;
    if (json_is_array(into) && json_is_array(more))
        return json_array_extend(into, (json_t *)(uintptr_t)more);
    if (!json_is_object(into) || !json_is_object(more))
        return error_set(err, -EINVAL, "'%.100s' is in two templates and cannot be merged", at);
    json_object_foreach((json_t *)(uintptr_t)more, key, value)
    {
        json_t *same = json_object_get(into, key);
        int r = same ? merge_at(same, value, key, err) : json_object_set(into, key, value);
        if (r < 0)
            return r;
    }
    return 0;
}

int render_merge(json_t *into, const json_t *more, struct error *err)
{
    return merge_at(into, more, "", err);
}

static int render_into(
    const char *text, const json_t *arguments, json_t *document, struct error *err)
{
    _cleanup_(template_freep)
    struct template *t = NULL;
    _cleanup_buf_ struct buf out = BUF_INIT;
    _cleanup_json_ json_t *one = NULL;
    int r = template_parse(text, strlen(text), &t, err);
    if (r == 0)
        r = template_render(t, arguments, filters, ARRAY_SIZE(filters), &out, err);
    if (r == 0)
        r = yaml_read(buf_cstr(&out), out.n, &one, err);
    return r < 0 ? r : render_merge(document, one, err);
}

int render_yaml(
    const char *name, const json_t *extra, const json_t *arguments, json_t **ret, struct error *err)
{
    _cleanup_json_ json_t *document = json_object();
    const struct embedded *e = gen_templates;
    const char *more = json_str_at(extra, name, NULL);
    while (e->name && !streq(e->name, name))
        e++;
    if (!e->name)
        return error_set(err, -ENOENT, "there is no template %.100s", name);
    int r = render_into(e->text, arguments, document, err);
    if (r < 0)
        return error_prefix(err, r, "%s", name);
    r = more ? render_into(more, arguments, document, err) : 0;
    if (r < 0)
        return error_prefix(err, r, "gen_extra/%s", name);
    *ret = TAKE_PTR(document);
    return 0;
}

int render_files(const json_t *files, json_t **ret, struct error *err)
{
    _cleanup_json_ json_t *list = json_array(), *seen = json_object();
    json_t *file, *value;
    size_t i;
    const char *key;
    if (!json_is_array(files) || json_array_size(files) > RENDER_FILES_MAX)
        return error_set(err, -EINVAL, "must be a list of files");
    json_array_foreach((json_t *)(uintptr_t)files, i, file)
    {
        _cleanup_free_ char *clean = NULL, *full = NULL;
        const char *path = json_str_at(file, "path", NULL),
                   *content = json_str_at(file, "content", NULL);
        if (!path || !content)
            return error_set(err, -EINVAL, "file %zu lacks its path or content", i + 1);
        json_object_foreach(file, key, value)
        {
            if (!streq(key, "path") && !streq(key, "content") && !streq(key, "permissions"))
                return error_set(err, -EINVAL, "%.200s: unknown member '%.64s'", path, key);
        }
        int r = tree_clean_path(path + strspn(path, "/"), &clean, err);
        if (r < 0)
            return error_prefix(err, r, "%.200s", path);
        full = xasprintf("/%s", clean);
        if (json_object_get(seen, full))
            return error_set(err, -EINVAL, "%.200s is there twice", full);
        json_object_set_new(seen, full, json_true());
        json_array_append_new(list, json_pack("{s:s,s:s,s:s}", "path", full, "content", content,
                                        "permissions", json_str_at(file, "permissions", "0644")));
    }
    *ret = TAKE_PTR(list);
    return 0;
}

/* ---- what templates need ---- */

static void collect(const json_t *target, json_t *names)
{
    const char *key;
    json_t *value, *one;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)json_at(target, "variables"), i, value)
    {
        json_object_set_new(names, json_string_value(value), json_true());
    }
    json_object_foreach((json_t *)(uintptr_t)json_at(target, "switches"), key, value)
    {
        const char *name;
        json_object_set_new(names, key, json_true());
        json_object_foreach(value, name, one)
        {
            collect(one, names);
        }
    }
}

json_t *render_arguments(void)
{
    _cleanup_json_ json_t *names = json_object();
    json_t *list = json_array(), *value;
    const char *name;
    for (const struct embedded *e = gen_templates; e->name; e++) {
        _cleanup_(template_freep)
        struct template *t = NULL;
        if (template_parse(e->text, strlen(e->text), &t, NULL) < 0)
            continue;
        _cleanup_json_ json_t *target = template_target(t);
        collect(target, names);
    }
    json_object_foreach(names, name, value)
    {
        json_array_append_new(list, json_string(name));
    }
    return list;
}

json_t *render_template_names(void)
{
    json_t *list = json_array();
    for (const struct embedded *e = gen_templates; e->name; e++)
        json_array_append_new(list, json_string(e->name));
    return list;
}

json_t *render_users(const char *name)
{
    json_t *list = json_array();
    for (const struct embedded *e = gen_templates; e->name; e++) {
        _cleanup_(template_freep)
        struct template *t = NULL;
        _cleanup_json_ json_t *names = json_object();
        if (template_parse(e->text, strlen(e->text), &t, NULL) < 0)
            continue;
        _cleanup_json_ json_t *target = template_target(t);
        collect(target, names);
        if (json_at(names, name))
            json_array_append_new(list, json_string(e->name));
    }
    return list;
}
