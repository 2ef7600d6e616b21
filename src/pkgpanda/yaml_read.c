#include "pkgpanda/yaml_read.h"

#include <errno.h>
#include <yaml.h>

struct reading {
    yaml_parser_t parser;
    unsigned nodes;
    struct error *err;
};

static int bad(struct reading *x, size_t line, const char *why)
{
    return error_set(x->err, -EBADMSG, "line %zu: %s", line + 1, why);
}

static int next(struct reading *x, yaml_event_t *ret)
{
    if (yaml_parser_parse(&x->parser, ret))
        return 0;
    return bad(
        x, x->parser.problem_mark.line, x->parser.problem ? x->parser.problem : "cannot be read");
}

static int read_node(struct reading *x, yaml_event_t *e, unsigned depth, json_t **ret);

static int read_members(struct reading *x, bool mapping, unsigned depth, json_t *into)
{
    for (;;) {
        yaml_event_t e;
        json_t *value = NULL;
        int r = next(x, &e);
        if (r < 0)
            return r;
        if (e.type == YAML_MAPPING_END_EVENT || e.type == YAML_SEQUENCE_END_EVENT) {
            yaml_event_delete(&e);
            return 0;
        }
        _cleanup_json_ json_t *key = NULL;
        size_t line = e.start_mark.line;
        r = read_node(x, &e, depth + 1, mapping ? &key : &value);
        if (r == 0 && mapping) {
            if (!json_is_string(key))
                return bad(x, line, "a key must be text");
            if (json_object_get(into, json_string_value(key)))
                return bad(x, line, "a key is there twice");
            r = next(x, &e);
            if (r == 0)
                r = read_node(x, &e, depth + 1, &value);
        }
        if (r < 0)
            return r;
        if (mapping)
            json_object_set_new(into, json_string_value(key), value);
        else
            json_array_append_new(into, value);
    }
}

static int read_scalar(struct reading *x, const yaml_event_t *e, json_t **ret)
{
    if (e->data.scalar.anchor)
        return bad(x, e->start_mark.line, "anchors are not supported");
    *ret = json_stringn((const char *)e->data.scalar.value, e->data.scalar.length);
    if (!*ret || memchr(e->data.scalar.value, 0, e->data.scalar.length))
        return bad(x, e->start_mark.line, "text that is not UTF-8, or holds a NUL");
    return 0;
}

/* Takes the event. *ret is set also on failure, and NULL or the caller's then. */
static int read_node(struct reading *x, yaml_event_t *e, unsigned depth, json_t **ret)
{
    int r = 0;
    if (depth > YAML_DEPTH_MAX || ++x->nodes > YAML_NODES_MAX)
        r = bad(x, e->start_mark.line, "too deep or too large");
    else if (e->type == YAML_SCALAR_EVENT)
        r = read_scalar(x, e, ret);
    else if (e->type == YAML_MAPPING_START_EVENT && !e->data.mapping_start.anchor)
        r = read_members(x, true, depth, *ret = json_object());
    else if (e->type == YAML_SEQUENCE_START_EVENT && !e->data.sequence_start.anchor)
        r = read_members(x, false, depth, *ret = json_array());
    else
        r = bad(x, e->start_mark.line, "anchors and aliases are not supported");
    yaml_event_delete(e);
    if (r < 0) {
        json_decref(*ret);
        *ret = NULL;
    }
    return r;
}

static int read_document(struct reading *x, json_t **ret)
{
    yaml_event_t e;
    for (;;) {
        int r = next(x, &e);
        if (r < 0)
            return r;
        if (e.type == YAML_STREAM_END_EVENT) {
            yaml_event_delete(&e);
            if (!*ret)
                *ret = json_object();
            return 0;
        }
        if (e.type == YAML_STREAM_START_EVENT || e.type == YAML_DOCUMENT_START_EVENT ||
            e.type == YAML_DOCUMENT_END_EVENT) {
            yaml_event_delete(&e);
            continue;
        }
        if (*ret) {
            r = bad(x, e.start_mark.line, "more than one document");
            yaml_event_delete(&e);
            return r;
        }
        r = read_node(x, &e, 0, ret);
        if (r < 0)
            return r;
    }
}

int yaml_read(const char *text, size_t n, json_t **ret, struct error *err)
{
    struct reading x = {.err = err};
    json_t *json = NULL;
    if (!yaml_parser_initialize(&x.parser))
        return error_set(err, -ENOMEM, "libyaml cannot be started");
    yaml_parser_set_input_string(&x.parser, (const unsigned char *)text, n);
    int r = read_document(&x, &json);
    yaml_parser_delete(&x.parser);
    if (r < 0) {
        json_decref(json);
        return r;
    }
    *ret = json;
    return 0;
}
