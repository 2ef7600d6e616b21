#include "generate.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "wire/codec.h"

enum { DEPTH_MAX = 9, MESSAGES_MAX = 300 };

typedef ProtobufCFieldDescriptor Field;

void generator_init(struct generator *g, const uint8_t *p, size_t n)
{
    *g = (struct generator){.p = p, .n = n};
    uint64_t seed = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < n; i++)
        seed = (seed ^ p[i]) * UINT64_C(0x100000001b3);
    rng_init(&g->rng, seed);
    static const char *const roles[] = {
        "*", "a", "a/b", "a/b/c", "b", "b", "a/*", "/a", "a//b", "-r", "."};
    for (size_t i = 0; i < ARRAY_SIZE(roles); i++)
        pool_add(g, POOL_ROLES, roles[i]);
    static const char *const others[] = {"t1", "t2", "t3", "x y"};
    for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
        pool_add(g, POOL_TASKS, others[i]);
        pool_add(g, POOL_EXECUTORS, others[i]);
        pool_add(g, POOL_OPERATIONS, others[i]);
    }
}

void generator_done(struct generator *g)
{
    for (size_t k = 0; k < POOLS; k++)
        for (size_t i = 0; i < g->pools[k].n; i++)
            free(g->pools[k].items[i]);
    for (size_t i = 0; i < g->n_resources; i++)
        free(g->resources[i].p);
}

unsigned generate_below(struct generator *g, unsigned bound)
{
    if (!g->n)
        return (unsigned)rng_below(&g->rng, bound);
    unsigned value = *g->p;
    g->p++;
    g->n--;
    if (bound > 256 && g->n) {
        value = value << 8 | *g->p;
        g->p++;
        g->n--;
    }
    return value % bound;
}

bool generate_chance(struct generator *g, unsigned percent)
{
    return generate_below(g, 100) < percent;
}

/* ---- pools ---- */

void pool_add(struct generator *g, enum pool_kind kind, const char *name)
{
    struct pool *pool = &g->pools[kind];
    if (pool->n == POOL_MAX) {
        free(pool->items[0]);
        memmove(pool->items, pool->items + 1, (POOL_MAX - 1) * sizeof(*pool->items));
        pool->n--;
    }
    pool->items[pool->n++] = xstrdup(name);
}

void pool_add_uuid(struct generator *g, const ProtobufCBinaryData *uuid)
{
    if (uuid->len != 16)
        return;
    memcpy(g->uuids[g->n_uuids % POOL_MAX], uuid->data, 16);
    g->n_uuids++;
}

void pool_add_resource(struct generator *g, const Mesos__V1__Resource *r)
{
    struct buf b = BUF_INIT;
    wire_pack(&r->base, &b);
    size_t at = g->n_resources < POOL_MAX ? g->n_resources++ : generate_below(g, POOL_MAX);
    free(g->resources[at].p);
    g->resources[at].p = xmemdup(b.p, b.n);
    g->resources[at].n = b.n;
    buf_done(&b);
}

const char *pool_pick(struct generator *g, enum pool_kind kind)
{
    const struct pool *pool = &g->pools[kind];
    if (!pool->n)
        return NULL;
    /* Mostly what is new, since what is old is mostly gone. */
    size_t newest = MIN(pool->n, (size_t)4);
    if (kind != POOL_ROLES && generate_chance(g, 60))
        return pool->items[pool->n - 1 - generate_below(g, (unsigned)newest)];
    return pool->items[generate_below(g, (unsigned)pool->n)];
}

/* ---- values ---- */

static const char *text(struct generator *g, const ProtobufCMessageDescriptor *d, const Field *f)
{
    static const struct {
        const char *message;
        enum pool_kind kind;
    } ids[] = {
        {"FrameworkID", POOL_FRAMEWORKS},
        {"AgentID", POOL_AGENTS},
        {"OfferID", POOL_OFFERS},
        {"TaskID", POOL_TASKS},
        {"ExecutorID", POOL_EXECUTORS},
        {"OperationID", POOL_OPERATIONS},
    };
    for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
        const char *name = streq(d->short_name, ids[i].message) && !generate_chance(g, 3)
                               ? pool_pick(g, ids[i].kind)
                               : NULL;
        if (name)
            return name;
    }
    if (strstr(f->name, "role"))
        return pool_pick(g, POOL_ROLES);
    if ((streq(d->short_name, "Resource") && streq(f->name, "name")) ||
        (streq(f->name, "key") && generate_chance(g, 60))) {
        static const char *const names[] = {"cpus", "mem", "disk", "ports", "gpus", "x"};
        return names[generate_below(g, ARRAY_SIZE(names))];
    }
    static const char *const words[] = {"", "a", "b", "p", "v1", "v2", "data", "host1", "10.0.0.1",
        "../x", "/", "a b", "\xc3\xa4", "[", "1", "region", "zone"};
    return words[generate_below(g, ARRAY_SIZE(words))];
}

static double number(struct generator *g)
{
    static const double values[] = {0, 0.001, 0.0004, 0.1, 0.5, 1, 1, 2, 3, 16, 64, 100, 1e6, 1e15,
        1e300, -1, -0.001, (double)NAN, (double)INFINITY};
    return values[generate_below(g, generate_chance(g, 85) ? 12 : ARRAY_SIZE(values))];
}

static int64_t integer(struct generator *g)
{
    static const int64_t values[] = {0, 1, 2, 3, 5, 100, 5051, 31000, 1000000000, -1, INT64_MAX,
        INT64_MIN, INT32_MAX, UINT32_MAX};
    return values[generate_below(g, generate_chance(g, 85) ? 9 : ARRAY_SIZE(values))];
}

static int constant(struct generator *g, const ProtobufCEnumDescriptor *e)
{
    return e->values[generate_below(g, e->n_values)].value;
}

static ProtobufCMessage *message(struct generator *g, struct arena *arena,
    const ProtobufCMessageDescriptor *d, int type, unsigned depth);

/* What an offer held, as it is or in part, perhaps with a reservation or a volume more or less. */
static Mesos__V1__Resource *offered(struct generator *g, struct arena *arena)
{
    size_t at = generate_below(g, (unsigned)g->n_resources);
    ProtobufCMessage *m;
    if (wire_unpack(&mesos__v1__resource__descriptor, arena, g->resources[at].p, g->resources[at].n,
            &m, NULL) < 0)
        return NULL;
    Mesos__V1__Resource *r = (Mesos__V1__Resource *)m;
    if (r->scalar && !r->disk && generate_chance(g, 50))
        r->scalar->value = number(g);
    if (generate_chance(g, 50))
        r->allocation_info = NULL;
    if (generate_chance(g, 25)) {
        Mesos__V1__Resource__ReservationInfo **list = arena_new_array(
            arena, Mesos__V1__Resource__ReservationInfo *, r->n_reservations + 1);
        for (size_t i = 0; i < r->n_reservations; i++)
            list[i] = r->reservations[i];
        Mesos__V1__Resource__ReservationInfo *more = arena_new(
            arena, Mesos__V1__Resource__ReservationInfo);
        mesos__v1__resource__reservation_info__init(more);
        more->has_type = true;
        more->type = MESOS__V1__RESOURCE__RESERVATION_INFO__TYPE__DYNAMIC;
        more->role = arena_strdup(arena, pool_pick(g, POOL_ROLES));
        list[r->n_reservations++] = more;
        r->reservations = list;
    } else if (r->n_reservations && generate_chance(g, 15)) {
        r->n_reservations--;
    }
    if (streq(r->name, "disk") && r->n_reservations && !r->disk && generate_chance(g, 40)) {
        r->disk = (Mesos__V1__Resource__DiskInfo *)message(
            g, arena, &mesos__v1__resource__disk_info__descriptor, -1, DEPTH_MAX - 3);
    } else if (r->disk && generate_chance(g, 10)) {
        r->disk = NULL;
    }
    return r;
}

static Mesos__V1__Resource *scalar(struct generator *g, struct arena *arena)
{
    Mesos__V1__Resource *r = arena_new(arena, Mesos__V1__Resource);
    mesos__v1__resource__init(r);
    r->name = arena_strdup(arena, generate_chance(g, 50) ? "cpus" : "mem");
    r->has_type = true;
    r->type = MESOS__V1__VALUE__TYPE__SCALAR;
    r->scalar = arena_new(arena, Mesos__V1__Value__Scalar);
    mesos__v1__value__scalar__init(r->scalar);
    r->scalar->has_value = true;
    r->scalar->value = number(g);
    return r;
}

/* A name for what is new, so that later messages can mean it. */
static void fresh_name(
    struct generator *g, struct arena *arena, enum pool_kind kind, char *const *old)
{
    char name[16];
    snprintf(name, sizeof(name), "n%u", generate_below(g, 60000));
    pool_add(g, kind, name);
    *(char **)(uintptr_t)old = arena_strdup(arena, name);
}

/* Messages that are hardly ever right by chance are helped. */
static ProtobufCMessage *helped(
    struct generator *g, struct arena *arena, const ProtobufCMessageDescriptor *d, unsigned depth)
{
    if (d == &mesos__v1__resource__descriptor && generate_chance(g, 85)) {
        Mesos__V1__Resource *r = g->n_resources && generate_chance(g, 70) ? offered(g, arena)
                                                                          : scalar(g, arena);
        return r ? &r->base : NULL;
    }
    if (d == &mesos__v1__task_info__descriptor && generate_chance(g, 80) && depth < DEPTH_MAX) {
        Mesos__V1__TaskInfo *t = arena_new(arena, Mesos__V1__TaskInfo);
        mesos__v1__task_info__init(t);
        t->name = arena_strdup(arena, "task");
        t->task_id = (Mesos__V1__TaskID *)message(
            g, arena, &mesos__v1__task_id__descriptor, -1, depth + 1);
        if (generate_chance(g, 70))
            fresh_name(g, arena, POOL_TASKS, &t->task_id->value);
        t->agent_id = (Mesos__V1__AgentID *)message(
            g, arena, &mesos__v1__agent_id__descriptor, -1, depth + 1);
        t->n_resources = 1 + generate_below(g, 3);
        t->resources = arena_new_array(arena, Mesos__V1__Resource *, t->n_resources);
        for (size_t i = 0; i < t->n_resources; i++)
            t->resources[i] = (Mesos__V1__Resource *)message(
                g, arena, &mesos__v1__resource__descriptor, -1, DEPTH_MAX - 2);
        if (generate_chance(g, 30)) {
            t->executor = (Mesos__V1__ExecutorInfo *)message(
                g, arena, &mesos__v1__executor_info__descriptor, -1, depth + 1);
        } else {
            t->command = arena_new(arena, Mesos__V1__CommandInfo);
            mesos__v1__command_info__init(t->command);
            t->command->value = arena_strdup(arena, "true");
        }
        return &t->base;
    }
    return NULL;
}

static void *value(struct generator *g, struct arena *arena, const ProtobufCMessageDescriptor *d,
    const Field *f, void *at, unsigned depth)
{
    switch (f->type) {
    case PROTOBUF_C_TYPE_STRING:
        *(char **)at = arena_strdup(arena, text(g, d, f));
        break;
    case PROTOBUF_C_TYPE_BYTES: {
        ProtobufCBinaryData *b = at;
        if (g->n_uuids && generate_chance(g, 80)) {
            size_t known = MIN(g->n_uuids, (size_t)POOL_MAX);
            b->len = 16;
            b->data = arena_memdup(arena, g->uuids[generate_below(g, (unsigned)known)], 16);
        } else {
            b->len = generate_chance(g, 80) ? 16 : generate_below(g, 20);
            b->data = arena_alloc(arena, b->len + 1);
            for (size_t i = 0; i < b->len; i++)
                b->data[i] = (uint8_t)generate_below(g, 4);
            if (generate_chance(g, 50))
                pool_add_uuid(g, b);
        }
        break;
    }
    case PROTOBUF_C_TYPE_DOUBLE:
        *(double *)at = number(g);
        break;
    case PROTOBUF_C_TYPE_FLOAT:
        *(float *)at = (float)number(g);
        break;
    case PROTOBUF_C_TYPE_BOOL:
        *(protobuf_c_boolean *)at = generate_chance(g, 60);
        break;
    case PROTOBUF_C_TYPE_ENUM:
        *(int *)at = constant(g, f->descriptor);
        break;
    case PROTOBUF_C_TYPE_MESSAGE:
        *(ProtobufCMessage **)at = message(g, arena, f->descriptor, -1, depth + 1);
        break;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        *(int64_t *)at = integer(g);
        break;
    default:
        *(int32_t *)at = (int32_t)integer(g);
        break;
    }
    return at;
}

static size_t size_of(const Field *f)
{
    switch (f->type) {
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(void *);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    case PROTOBUF_C_TYPE_BOOL:
        return sizeof(protobuf_c_boolean);
    case PROTOBUF_C_TYPE_DOUBLE:
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        return 8;
    default:
        return 4;
    }
}

static void set(
    struct generator *g, struct arena *arena, ProtobufCMessage *m, const Field *f, unsigned depth)
{
    char *base = (char *)m;
    if (f->label == PROTOBUF_C_LABEL_REPEATED) {
        size_t n = 1 + generate_below(g, 3), size = size_of(f);
        char *items = arena_alloc(arena, n * size);
        memset(items, 0, n * size);
        for (size_t i = 0; i < n; i++)
            value(g, arena, m->descriptor, f, items + i * size, depth);
        memcpy(base + f->offset, &items, sizeof(items));
        memcpy(base + f->quantifier_offset, &n, sizeof(n));
        return;
    }
    value(g, arena, m->descriptor, f, base + f->offset, depth);
    if (f->type != PROTOBUF_C_TYPE_STRING && f->type != PROTOBUF_C_TYPE_MESSAGE)
        *(protobuf_c_boolean *)(void *)(base + f->quantifier_offset) = true;
}

/* The field that belongs to the type: RESERVE_RESOURCES has reserve_resources. */
static const Field *field_of_type(
    const ProtobufCMessageDescriptor *d, const ProtobufCEnumDescriptor *e, int type)
{
    const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(e, type);
    char name[64];
    size_t n = v ? strlen(v->name) : 0;
    if (!v || n >= sizeof(name))
        return NULL;
    for (size_t i = 0; i <= n; i++)
        name[i] = (char)tolower((unsigned char)v->name[i]);
    return protobuf_c_message_descriptor_get_field_by_name(d, name);
}

static ProtobufCMessage *message(struct generator *g, struct arena *arena,
    const ProtobufCMessageDescriptor *d, int type, unsigned depth)
{
    if (g->budget)
        g->budget--;
    ProtobufCMessage *m = helped(g, arena, d, depth);
    if (m)
        return m;
    m = arena_alloc(arena, d->sizeof_message);
    protobuf_c_message_init(d, m);
    const Field *own = NULL;
    bool typed = false;
    for (unsigned i = 0; i < d->n_fields; i++) {
        const Field *f = &d->fields[i];
        if (!streq(f->name, "type") || f->type != PROTOBUF_C_TYPE_ENUM)
            continue;
        int t = type >= 0 ? type : constant(g, f->descriptor);
        own = field_of_type(d, f->descriptor, t);
        *(int *)(void *)((char *)m + f->offset) = t;
        *(protobuf_c_boolean *)(void *)((char *)m + f->quantifier_offset) = true;
        typed = own != NULL;
    }
    if (own && !generate_chance(g, 3))
        set(g, arena, m, own, depth);
    for (unsigned i = 0; i < d->n_fields; i++) {
        const Field *f = &d->fields[i];
        bool nested = f->type == PROTOBUF_C_TYPE_MESSAGE;
        if (f == own || streq(f->name, "type") || (nested && (depth >= DEPTH_MAX || !g->budget)))
            continue;
        unsigned percent = 50;
        if (nested && typed) /* the other types' messages */
            percent = strstr(f->name, "_id") || streq(f->name, "id") ? 95 : 2;
        else if (strstr(f->name, "_id") || streq(f->name, "id") || streq(f->name, "value") ||
                 streq(f->name, "name") || d->n_fields <= 3)
            percent = 95;
        else if (nested && depth > 4)
            percent = 15;
        if (generate_chance(g, percent))
            set(g, arena, m, f, depth);
    }
    return m;
}

ProtobufCMessage *generate(
    struct generator *g, struct arena *arena, const ProtobufCMessageDescriptor *d, int type)
{
    g->budget = MESSAGES_MAX;
    ProtobufCMessage *m = message(g, arena, d, type, 0);
    _cleanup_buf_ struct buf b = BUF_INIT;
    wire_pack(m, &b);
    ProtobufCMessage *back;
    return wire_unpack(d, arena, b.p, b.n, &back, NULL) < 0 ? NULL : back;
}
