/* Resources as text: of flags, for logs, and in /state. */

#include <errno.h>
#include <inttypes.h>

#include "base/alloc.h"
#include "base/parse.h"
#include "base/vec.h"
#include "json/json.h"
#include "kernel/internal.h"
#include "kernel/role.h"
#include "wire/codec.h"

enum { RESOURCES_TEXT_MAX = 1 << 20 };

/* ---- parsing ---- */

static int parse_set(struct str text, struct resource *ret, struct error *err)
{
    struct str rest = str_trim((struct str){text.p + 1, text.n - 2}), part;
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    char **items = arena_new_array(&arena, char *, RESOURCE_SET_MAX);
    size_t n = 0;
    while (rest.n + n > 0 && str_split(&rest, ',', &part)) {
        part = str_trim(part);
        if (n == RESOURCE_SET_MAX)
            return error_set(err, -EINVAL, "more than %d items in a set", RESOURCE_SET_MAX);
        if (part.n == 0)
            return error_set(err, -EINVAL, "an item of a set is empty");
        items[n++] = arena_strndup(&arena, part.p, part.n);
    }
    struct resource_set *set = set_new(items, n);
    if ((set ? set->n : 0) != n) {
        set_unref(set);
        return error_set(err, -EINVAL, "an item of a set appears twice");
    }
    ret->set = set;
    return 0;
}

/* The value decides the type. */
static int parse_value(
    struct str text, enum resource_type *ret_type, struct resource *ret, struct error *err)
{
    double v;
    if (text.n >= 2 && text.p[0] == '[') {
        *ret_type = RESOURCE_RANGES;
        return ranges_parse(text, &ret->ranges, err);
    }
    if (text.n >= 2 && text.p[0] == '{' && text.p[text.n - 1] == '}') {
        *ret_type = RESOURCE_SET;
        return parse_set(text, ret, err);
    }
    if (parse_double(text, &v) < 0)
        return error_set(err, -EINVAL, "'" STR_FMT "' is not a number, [ranges] or {a set}",
            (int)MIN(text.n, (size_t)100), text.p);
    if (v < 0 || v > (double)(RESOURCE_MILLI_MAX / 1000) || (v > 0 && milli_of_double(v) <= 0))
        return error_set(err, -EINVAL, "'" STR_FMT "' is out of range", STR_ARG(text));
    *ret_type = RESOURCE_SCALAR;
    ret->milli = milli_of_double(v);
    return 0;
}

static const struct resource_kind *make_kind(
    const char *name, enum resource_type type, const char *role)
{
    if (streq(role, "*"))
        return kind_plain(name, type, false, NULL);
    Mesos__V1__Resource m = MESOS__V1__RESOURCE__INIT;
    m.name = (char *)(uintptr_t)name;
    m.has_type = true;
    m.type = (Mesos__V1__Value__Type)type;
    m.role = (char *)(uintptr_t)role;
    return kind_of_wire(&m);
}

/* name(role):value */
static int parse_item(
    struct str item, const char *default_role, struct resources *to, struct error *err)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    ptrdiff_t colon = str_index(item, ':');
    if (colon < 0)
        return error_set(
            err, -EINVAL, "'" STR_FMT "' is not name:value", (int)MIN(item.n, (size_t)100), item.p);
    struct str name = str_trim((struct str){item.p, (size_t)colon});
    struct str value = str_trim((struct str){item.p + colon + 1, item.n - (size_t)colon - 1});
    const char *role = default_role;
    ptrdiff_t open = str_index(name, '(');
    if (open >= 0) {
        if (name.p[name.n - 1] != ')')
            return error_set(err, -EINVAL, "'" STR_FMT "' is not name(role)",
                (int)MIN(name.n, (size_t)100), name.p);
        struct str inside = str_trim((struct str){name.p + open + 1, name.n - (size_t)open - 2});
        role = arena_strndup(&arena, inside.p, inside.n);
        name = str_trim((struct str){name.p, (size_t)open});
    }
    if (name.n == 0 || name.n > RESOURCE_NAME_MAX)
        return error_set(err, -EINVAL, "a resource has no name, or one that is too long");
    const char *text = arena_strndup(&arena, name.p, name.n);
    enum resource_type type = RESOURCE_SCALAR;
    struct resource r = {0};
    int e = role_validate(role, err);
    if (e == 0)
        e = parse_value(value, &type, &r, err);
    if (e < 0)
        return error_prefix(err, e, "%s", text);
    r.kind = make_kind(text, type, role);
    RESOURCES_FOREACH(x, to)
    {
        if (streq(x->kind->name, text) && x->kind->type != type) {
            resource_done(&r);
            return error_set(err, -EINVAL, "%s has values of two types", text);
        }
    }
    resources_take(to, r);
    return 0;
}

static int parse_json(
    struct str text, const char *default_role, struct resources *to, struct error *err)
{
    _cleanup_json_ json_t *json = NULL;
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    int r = json_parse(text.p, text.n, &json, err);
    if (r < 0)
        return -EINVAL;
    for (size_t i = 0; i < json_array_size(json); i++) {
        ProtobufCMessage *m = NULL;
        if ((r = wire_from_json(
                 &mesos__v1__resource__descriptor, &arena, json_array_get(json, i), &m, err)) < 0 ||
            (r = wire_check_required(m, err)) < 0)
            return r;
        Mesos__V1__Resource *x = (Mesos__V1__Resource *)m;
        if (x->n_reservations == 0 && streq(x->role, "*") && !x->reservation)
            x->role = (char *)(uintptr_t)default_role;
        if ((r = resource_validate(x, err)) < 0)
            return r;
        resources_take(to, resource_from_valid(x));
    }
    return 0;
}

/* Sums have the limits that single resources have, so that what was parsed can be sent. */
static int check_limits(const struct resources *r, struct error *err)
{
    if (r->n > RESOURCES_MAX)
        return error_set(err, -EINVAL, "more than %d resources", RESOURCES_MAX);
    RESOURCES_FOREACH(x, r)
    {
        bool fits = x->kind->type == RESOURCE_SCALAR   ? x->milli <= RESOURCE_MILLI_MAX
                    : x->kind->type == RESOURCE_RANGES ? x->ranges->n <= RANGES_MAX
                                                       : x->set->n <= RESOURCE_SET_MAX;
        if (!fits)
            return error_set(err, -EINVAL, "there is too much of %.100s", x->kind->name);
    }
    return 0;
}

int resources_parse(
    struct str text, const char *default_role, struct resources *ret, struct error *err)
{
    struct resources all = RESOURCES_INIT;
    text = str_trim(text);
    int r = 0;
    if (text.n > RESOURCES_TEXT_MAX) {
        r = error_set(err, -EINVAL, "text is too long");
    } else if (text.n > 0 && memchr(text.p, 0, text.n)) {
        r = error_set(err, -EINVAL, "text has a NUL byte in it");
    } else if (text.n > 0 && text.p[0] == '[') {
        r = parse_json(text, default_role, &all, err);
    } else {
        struct str part;
        while (r == 0 && str_split(&text, ';', &part)) {
            part = str_trim(part);
            if (part.n > 0)
                r = parse_item(part, default_role, &all, err);
        }
    }
    if (r == 0)
        r = check_limits(&all, err);
    if (r < 0) {
        resources_done(&all);
        return r;
    }
    resources_shrink(&all);
    resources_move(ret, &all);
    return 0;
}

/* ---- formatting ---- */

static void put_milli(struct buf *out, int64_t milli)
{
    buf_printf(out, "%" PRId64, milli / 1000);
    int64_t rest = milli % 1000; /* collections hold nothing negative */
    if (rest == 0)
        return;
    int digits = rest % 100 == 0 ? 1 : rest % 10 == 0 ? 2 : 3;
    buf_printf(out, ".%0*" PRId64, digits,
        digits == 1   ? rest / 100
        : digits == 2 ? rest / 10
                      : rest);
}

static void put_value(struct buf *out, const struct resource *r)
{
    if (r->kind->type == RESOURCE_SCALAR)
        put_milli(out, r->milli);
    else if (r->kind->type == RESOURCE_RANGES)
        ranges_format(r->ranges, out);
    else
        resource_set_format(r->set, out);
}

void resources_format(const struct resources *r, struct buf *out)
{
    const char *separator = "";
    RESOURCES_FOREACH(x, r)
    {
        buf_printf(out, "%s%s", separator, x->kind->name);
        separator = "; ";
        if (x->kind->n_reservations > 0)
            buf_printf(out, "(%s)", x->kind->role);
        if (x->kind->allocation_role)
            buf_printf(out, "(allocated: %s)", x->kind->allocation_role);
        if (x->kind->persistence_id)
            buf_printf(out, "[%s]", x->kind->persistence_id);
        if (x->kind->revocable)
            buf_puts(out, "{revocable}");
        if (x->kind->shared)
            buf_puts(out, "<shared>");
        buf_putc(out, ':');
        put_value(out, x);
    }
}

/* ---- /state ---- */

/* Reads only, and takes no references: a worker may write what the loop's thread owns. */

struct state_entry {
    const char *name;
    bool revocable;
    const struct resource *r; /* NULL: a zero that is always shown */
};

static int compare_entries(const struct state_entry *a, const struct state_entry *b)
{
    int order = strcmp(a->name, b->name);
    return order ? order : a->revocable - b->revocable;
}

static size_t put_entry(struct state_entry *list, size_t n, struct state_entry e)
{
    size_t at = n;
    for (; at > 0 && compare_entries(&list[at - 1], &e) > 0; at--)
        list[at] = list[at - 1];
    list[at] = e;
    return n + 1;
}

static void put_scalars(struct json_writer *w, const struct state_entry *e, size_t n)
{
    int64_t sum = 0;
    for (size_t i = 0; i < n; i++)
        if (e[i].r && e[i].r->kind->type == RESOURCE_SCALAR)
            sum += e[i].r->milli;
    jw_milli(w, sum);
}

static void put_ranges(struct buf *out, const struct state_entry *e, size_t n)
{
    VEC(struct range) all = {0};
    for (size_t i = 0; i < n; i++)
        for (uint32_t k = 0; e[i].r->kind->type == RESOURCE_RANGES && k < e[i].r->ranges->n; k++)
            vec_push(&all, e[i].r->ranges->r[k]);
    struct ranges *sum = ranges_new(all.items, all.n);
    ranges_format(sum, out);
    ranges_unref(sum);
    vec_done(&all);
}

static void put_sets(struct buf *out, const struct state_entry *e, size_t n)
{
    VEC(char *) all = {0};
    for (size_t i = 0; i < n; i++)
        for (uint32_t k = 0; e[i].r->kind->type == RESOURCE_SET && k < e[i].r->set->n; k++)
            vec_push(&all, (char *)(uintptr_t)e[i].r->set->items[k]);
    struct resource_set *sum = set_new(all.items, all.n);
    resource_set_format(sum, out);
    set_unref(sum);
    vec_done(&all);
}

/* n entries of one name; the first resource decides the type. */
static void put_entries(struct json_writer *w, const struct state_entry *e, size_t n)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    if (e->revocable) {
        buf_printf(&text, "%s_revocable", e->name);
        jw_key(w, buf_cstr(&text));
        buf_clear(&text);
    } else {
        jw_key(w, e->name);
    }
    while (n > 1 && !e->r) {
        e++;
        n--;
    }
    if (!e->r || e->r->kind->type == RESOURCE_SCALAR) {
        put_scalars(w, e, n);
        return;
    }
    if (e->r->kind->type == RESOURCE_RANGES)
        put_ranges(&text, e, n);
    else
        put_sets(&text, e, n);
    jw_string_n(w, buf_cstr(&text), text.n);
}

void resources_write_state_if(
    struct json_writer *w, const struct resources *r, resource_predicate keep, const void *userdata)
{
    static const char *const always[] = {"cpus", "disk", "gpus", "mem"};
    enum { ON_STACK = 16 };
    struct state_entry few[ON_STACK + ARRAY_SIZE(always)], *list = few;
    if (r->n > ON_STACK)
        list = xnew_array(struct state_entry, r->n + ARRAY_SIZE(always));
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_SIZE(always); i++)
        list[n++] = (struct state_entry){.name = always[i]};
    RESOURCES_FOREACH(x, r)
    {
        bool repeat = keep && !keep(x, userdata);
        for (const struct resource *k = r->items; x->kind->shared && k < x; k++)
            repeat = repeat || resource_equal(k, x);
        if (!repeat)
            n = put_entry(list, n, (struct state_entry){x->kind->name, x->kind->revocable, x});
    }
    jw_begin_object(w);
    for (size_t i = 0, end; i < n; i = end) {
        for (end = i + 1; end < n && compare_entries(&list[i], &list[end]) == 0;)
            end++;
        put_entries(w, list + i, end - i);
    }
    jw_end_object(w);
    if (list != few)
        free(list);
}

void resources_write_state(struct json_writer *w, const struct resources *r)
{
    resources_write_state_if(w, r, NULL, NULL);
}
