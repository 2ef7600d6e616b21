#include "kernel/attributes.h"

#include <errno.h>
#include <math.h>

#include "base/parse.h"
#include "kernel/ranges.h"

enum { ATTRIBUTES_TEXT_MAX = 1 << 20 };

static void set_ranges(Mesos__V1__Attribute *a, const struct ranges *ranges, struct arena *arena)
{
    uint32_t n = ranges ? ranges->n : 0;
    a->type = MESOS__V1__VALUE__TYPE__RANGES;
    a->ranges = arena_alloc(arena, sizeof(*a->ranges));
    mesos__v1__value__ranges__init(a->ranges);
    a->ranges->n_range = n;
    a->ranges->range = arena_new_array(arena, Mesos__V1__Value__Range *, n);
    for (uint32_t i = 0; i < n; i++) {
        Mesos__V1__Value__Range *r = arena_alloc(arena, sizeof(*r));
        mesos__v1__value__range__init(r);
        r->has_begin = r->has_end = true;
        r->begin = ranges->r[i].begin;
        r->end = ranges->r[i].end;
        a->ranges->range[i] = r;
    }
}

static void set_items(Mesos__V1__Attribute *a, struct str text, struct arena *arena)
{
    struct str rest = str_trim((struct str){text.p + 1, text.n - 2}), part;
    size_t n = 0, max = 1;
    for (size_t i = 0; i < rest.n; i++)
        max += rest.p[i] == ',';
    a->type = MESOS__V1__VALUE__TYPE__SET;
    a->set = arena_alloc(arena, sizeof(*a->set));
    mesos__v1__value__set__init(a->set);
    a->set->item = arena_new_array(arena, char *, max);
    while (rest.n + n > 0 && str_split(&rest, ',', &part)) {
        part = str_trim(part);
        a->set->item[n++] = arena_strndup(arena, part.p, part.n);
    }
    a->set->n_item = n;
}

static int parse_one(
    struct str item, struct arena *arena, Mesos__V1__Attribute *a, struct error *err)
{
    ptrdiff_t colon = str_index(item, ':');
    struct str name = str_trim((struct str){item.p, colon < 0 ? 0 : (size_t)colon});
    if (name.n == 0)
        return error_set(err, -EINVAL, "attribute '" STR_FMT "' is not name:value",
            (int)MIN(item.n, (size_t)100), item.p);
    struct str value = str_trim((struct str){item.p + colon + 1, item.n - (size_t)colon - 1});
    if (value.n == 0)
        return error_set(err, -EINVAL, "attribute '" STR_FMT "' has no value", STR_ARG(name));
    mesos__v1__attribute__init(a);
    a->name = arena_strndup(arena, name.p, name.n);
    a->has_type = true;
    double number;
    if (value.p[0] == '[') {
        struct ranges *ranges = NULL;
        int r = ranges_parse(value, &ranges, err);
        if (r < 0)
            return error_prefix(err, r, "attribute '%s'", a->name);
        set_ranges(a, ranges, arena);
        ranges_unref(ranges);
    } else if (value.n >= 2 && value.p[0] == '{' && value.p[value.n - 1] == '}') {
        set_items(a, value, arena);
    } else if (parse_double(value, &number) == 0) {
        a->type = MESOS__V1__VALUE__TYPE__SCALAR;
        a->scalar = arena_alloc(arena, sizeof(*a->scalar));
        mesos__v1__value__scalar__init(a->scalar);
        a->scalar->has_value = true;
        a->scalar->value = number;
    } else {
        a->type = MESOS__V1__VALUE__TYPE__TEXT;
        a->text = arena_alloc(arena, sizeof(*a->text));
        mesos__v1__value__text__init(a->text);
        a->text->value = arena_strndup(arena, value.p, value.n);
    }
    return 0;
}

int attributes_parse(struct str text, struct arena *arena, Mesos__V1__Attribute ***ret,
    size_t *ret_n, struct error *err)
{
    if (text.n > ATTRIBUTES_TEXT_MAX)
        return error_set(err, -EINVAL, "attributes are too long");
    if (text.n > 0 && memchr(text.p, 0, text.n))
        return error_set(err, -EINVAL, "attributes have a NUL byte in them");
    size_t max = 1, n = 0;
    for (size_t i = 0; i < text.n; i++)
        max += text.p[i] == ';' || text.p[i] == '\n';
    if (max > ATTRIBUTES_MAX)
        return error_set(err, -EINVAL, "more than %d attributes", ATTRIBUTES_MAX);
    Mesos__V1__Attribute **list = arena_new_array(arena, Mesos__V1__Attribute *, max);
    struct str line, item;
    while (str_split(&text, '\n', &line)) {
        while (str_split(&line, ';', &item)) {
            item = str_trim(item);
            if (item.n == 0)
                continue;
            list[n] = arena_alloc(arena, sizeof(*list[n]));
            int r = parse_one(item, arena, list[n], err);
            if (r < 0)
                return r;
            n++;
        }
    }
    *ret = list;
    *ret_n = n;
    return 0;
}

static bool value_fits(const Mesos__V1__Attribute *a)
{
    switch (a->type) {
    case MESOS__V1__VALUE__TYPE__SCALAR:
        return a->scalar && isfinite(a->scalar->value);
    case MESOS__V1__VALUE__TYPE__RANGES:
        if (!a->ranges || a->ranges->n_range > RANGES_MAX)
            return false;
        for (size_t i = 0; i < a->ranges->n_range; i++)
            if (a->ranges->range[i]->begin > a->ranges->range[i]->end)
                return false;
        return true;
    case MESOS__V1__VALUE__TYPE__SET:
        return a->set != NULL;
    case MESOS__V1__VALUE__TYPE__TEXT:
        return a->text && a->text->value;
    default:
        return false;
    }
}

int attributes_validate(Mesos__V1__Attribute *const *list, size_t n, struct error *err)
{
    if (n > ATTRIBUTES_MAX)
        return error_set(err, -EINVAL, "more than %d attributes", ATTRIBUTES_MAX);
    for (size_t i = 0; i < n; i++) {
        if (!list[i]->name || !list[i]->name[0])
            return error_set(err, -EINVAL, "an attribute has no name");
        if (!list[i]->has_type || !value_fits(list[i]))
            return error_set(
                err, -EINVAL, "attribute '%.100s' has no value of its type", list[i]->name);
    }
    return 0;
}

static void write_ranges(struct json_writer *w, const Mesos__V1__Value__Ranges *ranges)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    _cleanup_buf_ struct buf text = BUF_INIT;
    struct range *list = arena_new_array(&arena, struct range, ranges->n_range);
    for (size_t i = 0; i < ranges->n_range; i++)
        list[i] = (struct range){ranges->range[i]->begin, ranges->range[i]->end};
    struct ranges *all = ranges_new(list, ranges->n_range);
    ranges_format(all, &text);
    ranges_unref(all);
    jw_string_n(w, buf_cstr(&text), text.n);
}

static void write_set(struct json_writer *w, const Mesos__V1__Value__Set *set)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    buf_putc(&text, '{');
    for (size_t i = 0; i < set->n_item; i++)
        buf_printf(&text, "%s%s", i > 0 ? ", " : "", set->item[i]);
    buf_putc(&text, '}');
    jw_string_n(w, buf_cstr(&text), text.n);
}

void attributes_write_state(struct json_writer *w, Mesos__V1__Attribute *const *list, size_t n)
{
    jw_begin_object(w);
    for (size_t i = 0; i < n; i++) {
        bool repeat = false;
        for (size_t k = 0; k < i && !repeat; k++)
            repeat = streq(list[k]->name, list[i]->name);
        if (repeat || !value_fits(list[i]))
            continue;
        jw_key(w, list[i]->name);
        switch (list[i]->type) {
        case MESOS__V1__VALUE__TYPE__SCALAR:
            jw_double(w, list[i]->scalar->value);
            break;
        case MESOS__V1__VALUE__TYPE__RANGES:
            write_ranges(w, list[i]->ranges);
            break;
        case MESOS__V1__VALUE__TYPE__SET:
            write_set(w, list[i]->set);
            break;
        default:
            jw_string(w, list[i]->text->value);
        }
    }
    jw_end_object(w);
}
