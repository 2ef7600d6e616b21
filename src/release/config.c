#include <errno.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/log.h"
#include "json/yaml_read.h"
#include "release/release.h"

/* A whole value "$NAME" is a variable; "$$..." stands for "$...". */
static json_t *expand(json_t *value)
{
    const char *key;
    json_t *member;
    void *next;
    if (json_is_object(value)) {
        json_object_foreach_safe(value, next, key, member)
            json_object_set_new(value, key, expand(json_incref(member)));
    }
    for (size_t i = 0; json_is_array(value) && i < json_array_size(value); i++)
        json_array_set_new(value, i, expand(json_incref(json_array_get(value, i))));
    const char *text = json_string_value(value);
    if (!text || text[0] != '$')
        return value;
    json_t *expanded;
    if (text[1] == '$') {
        expanded = json_string(text + 1);
    } else {
        const char *found = getenv(text + 1);
        if (!found)
            log_warn("the configuration names a variable that is not set name=%s", text + 1);
        expanded = json_string(found ? found : "");
    }
    json_decref(value);
    return expanded;
}

void release_config_done(struct release_config *c)
{
    for (size_t i = 0; i < c->n; i++)
        storage_free(c->storages[i]);
    free(c->storages);
    free(c->cloudformation_s3_url);
    *c = (struct release_config){0};
}

static int check_members(
    const json_t *json, const char *const *known, const char *where, struct error *err)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)json, key, value)
    {
        const char *const *k = known;
        while (*k && !streq(*k, key))
            k++;
        if (!*k)
            return error_set(err, -EINVAL, "%s%.100s is not known", where, key);
    }
    return 0;
}

static int read_all(json_t *json, struct release_config *c, struct error *err)
{
    static const char *const top[] = {"storage", "options", "testing", NULL};
    static const char *const known[] = {"preferred", "cloudformation_s3_url", NULL};
    const json_t *storages = json_at(json, "storage"), *options = json_at(json, "options");
    const char *name;
    json_t *description;
    int r = json_is_object(json) ? check_members(json, top, "", err)
                                 : error_set(err, -EINVAL, "expected a map");
    if (r == 0 && !json_is_object(storages))
        r = error_set(err, -EINVAL, "storage is missing");
    if (r == 0 && options)
        r = json_is_object(options) ? check_members(options, known, "options.", err)
                                    : error_set(err, -EINVAL, "options is no map");
    if (r < 0)
        return r;
    c->storages = xnew_array(struct storage *, json_object_size(storages) + 1);
    json_object_foreach((json_t *)(uintptr_t)storages, name, description)
    {
        if (!json_is_object(description))
            return error_set(err, -EINVAL, "storage %s is no map", name);
        r = storage_open(name, description, &c->storages[c->n], err);
        if (r < 0)
            return r;
        c->n++;
    }
    const char *preferred = json_str_at(options, "preferred", NULL);
    for (size_t i = 0; i < c->n; i++)
        if (streq(c->storages[i]->name, preferred))
            c->preferred = c->storages[i];
    if (!c->preferred)
        return error_set(err, -EINVAL, "options.preferred names one of the storages");
    const char *url = json_str_at(options, "cloudformation_s3_url", NULL);
    if (url && (!*url || has_suffix(url, "/")))
        return error_set(
            err, -EINVAL, "options.cloudformation_s3_url is an address without a slash at its end");
    c->cloudformation_s3_url = url ? xstrdup(url) : NULL;
    return 0;
}

int release_config_read(const char *text, size_t n, struct release_config *ret, struct error *err)
{
    json_t *json = NULL;
    struct release_config c = {0};
    int r = yaml_read(text, n, &json, err);
    if (r < 0)
        return r;
    json = expand(json);
    r = read_all(json, &c, err);
    json_decref(json);
    if (r < 0)
        release_config_done(&c);
    else
        *ret = c;
    return r;
}
