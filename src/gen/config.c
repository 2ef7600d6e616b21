#include "gen/config.h"

#include <errno.h>

#include "base/alloc.h"
#include "base/vec.h"
#include "gen/gen.h"
#include "gen/graph.h"
#include "json/writer.h"
#include "json/yaml_read.h"

static const char *kind_of(const json_t *value)
{
    return json_is_null(value) ? "empty" : "a number with a fraction";
}

const char *config_text(struct arena *arena, const json_t *value, const char **ret_problem)
{
    _cleanup_buf_ struct buf b = BUF_INIT;
    const char *text = NULL;
    switch (json_typeof(value)) {
    case JSON_STRING:
        text = arena_strdup(arena, json_string_value(value));
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        return json_is_true(value) ? "true" : "false";
    case JSON_NULL:
    case JSON_REAL:
        *ret_problem = arena_printf(arena,
            "Must be text, an integer, true, false, a list or a mapping, but is %s.",
            kind_of(value));
        return NULL;
    default:
        config_dump(value, &b);
        text = arena_strdup(arena, buf_cstr(&b));
    }
    /* Would be taken for a late value. */
    if (strstr(text, LATE_START) || strstr(text, LATE_END))
        *ret_problem = "Must not hold the placeholder of a late value.";
    return text;
}

struct reading {
    struct config c;
    VEC(struct config_entry) entries;
};

static int add_entry(
    void *userdata, const char *name, json_t *value, unsigned line, struct error *err)
{
    struct reading *x = userdata;
    struct config *c = &x->c;
    struct config_entry entry = {.name = arena_strdup(&c->arena, name), .line = line};
    const struct config_entry *same = NULL;
    VEC_FOREACH (other, &x->entries) {
        if (!same && streq(other->name, name))
            same = other;
    }
    if (same) {
        json_decref(value);
        entry.problem = arena_printf(
            &c->arena, "Is set twice; the first time on line %u.", same->line);
    } else if (strlen(name) > CONFIG_NAME_MAX) {
        json_decref(value);
        return error_set(err, -EBADMSG, "line %u: a name that is too long", line);
    } else if (json_object_set_new(c->json, name, value) < 0) {
        return error_set(err, -EBADMSG, "line %u: a name that is not UTF-8", line);
    } else {
        entry.json = value;
        entry.value = config_text(&c->arena, value, &entry.problem);
    }
    if (x->entries.n == GEN_ARGUMENTS_MAX)
        return error_set(err, -EFBIG, "more than %d names", (int)GEN_ARGUMENTS_MAX);
    vec_push(&x->entries, entry);
    return 0;
}

int config_read(const char *text, size_t n, struct config *ret, struct error *err)
{
    if (n > GEN_CONFIG_MAX)
        return error_set(err, -EFBIG, "more than %d bytes", (int)GEN_CONFIG_MAX);
    struct reading x = {.c.json = json_object()};
    int r = yaml_read_members(text, n, YAML_TYPES, add_entry, &x, err);
    x.c.entries = x.entries.items;
    x.c.n = x.entries.n;
    if (r < 0)
        config_done(&x.c);
    else
        *ret = x.c;
    return r;
}

void config_done(struct config *c)
{
    json_decref(c->json);
    free(c->entries);
    arena_done(&c->arena);
    *c = (struct config){0};
}

const struct config_entry *config_get(const struct config *c, const char *name)
{
    for (size_t i = 0; i < c->n; i++) {
        if (streq(c->entries[i].name, name))
            return &c->entries[i];
    }
    return NULL;
}

void config_dump(const json_t *value, struct buf *out)
{
    char *text = json_dumps(value, JSON_ENCODE_ANY);
    if (text)
        buf_puts(out, text);
    free(text);
}
