/*
 * Kinds of resources, each once in the process.
 *
 * The identity of a kind is a string of bytes: for plain kinds (nearly all) the name and a few
 * flags, for others the packed message without its value. The table is a chained hash; a kind
 * leaves it with its last reference.
 */

#include <assert.h>

#include "base/alloc.h"
#include "kernel/internal.h"
#include "wire/codec.h"

enum { TABLE_MIN = 64, KEY_PLAIN = 'p', KEY_MESSAGE = 'm' };

static struct {
    struct resource_kind **buckets;
    size_t size; /* power of two, 0 before the first kind */
    size_t n;
} g_kinds;

size_t resource_kinds_in_use(void)
{
    return g_kinds.n;
}

static struct resource_kind *find(const void *key, size_t key_size, uint64_t hash)
{
    if (g_kinds.size == 0)
        return NULL;
    struct resource_kind *k = g_kinds.buckets[hash & (g_kinds.size - 1)];
    while (k && (k->hash != hash || k->key_size != key_size || memcmp(k->key, key, key_size) != 0))
        k = k->next;
    return k;
}

static void insert(struct resource_kind *kind)
{
    if (g_kinds.n == g_kinds.size) {
        size_t size = MAX(g_kinds.size * 2, (size_t)TABLE_MIN);
        struct resource_kind **buckets = xnew_array(struct resource_kind *, size);
        for (size_t i = 0; i < g_kinds.size; i++) {
            for (struct resource_kind *k = g_kinds.buckets[i], *next; k; k = next) {
                next = k->next;
                k->next = buckets[k->hash & (size - 1)];
                buckets[k->hash & (size - 1)] = k;
            }
        }
        free(g_kinds.buckets);
        g_kinds.buckets = buckets;
        g_kinds.size = size;
    }
    struct resource_kind **bucket = &g_kinds.buckets[kind->hash & (g_kinds.size - 1)];
    kind->next = *bucket;
    *bucket = kind;
    g_kinds.n++;
}

const struct resource_kind *resource_kind_ref(const struct resource_kind *kind)
{
    ((struct resource_kind *)(uintptr_t)kind)->refs++;
    return kind;
}

void resource_kind_unref(const struct resource_kind *kind)
{
    struct resource_kind *k = (struct resource_kind *)(uintptr_t)kind;
    if (!k || --k->refs > 0)
        return;
    struct resource_kind **at = &g_kinds.buckets[k->hash & (g_kinds.size - 1)];
    while (*at != k)
        at = &(*at)->next;
    *at = k->next;
    const struct resource_kind *identity = k->identity;
    free(k);
    if (--g_kinds.n == 0) {
        free(g_kinds.buckets);
        g_kinds.buckets = NULL;
        g_kinds.size = 0;
    }
    resource_kind_unref(identity);
}

/* A new kind with room for `extra` bytes of strings behind its key. */
static struct resource_kind *make(
    const void *key, size_t key_size, uint64_t hash, size_t extra, char **ret_extra)
{
    struct resource_kind *k = xcalloc(1, sizeof(*k) + key_size + extra);
    memcpy(k->key, key, key_size);
    k->key_size = (uint32_t)key_size;
    k->hash = hash;
    k->refs = 1;
    k->role = "*";
    *ret_extra = (char *)k->key + key_size;
    return k;
}

/* Key: 'p', type, revocable, allocated, name NUL, allocation role NUL. */
const struct resource_kind *kind_plain(
    const char *name, enum resource_type type, bool revocable, const char *allocation_role)
{
    enum { HEAD = 4, ON_STACK = 256 };
    char stack[ON_STACK];
    size_t name_size = strlen(name) + 1;
    size_t role_size = allocation_role ? strlen(allocation_role) + 1 : 0;
    size_t size = HEAD + name_size + role_size;
    char *key = size <= sizeof(stack) ? stack : xmalloc(size);
    key[0] = KEY_PLAIN;
    key[1] = (char)type;
    key[2] = revocable;
    key[3] = allocation_role != NULL;
    memcpy(key + HEAD, name, name_size);
    if (allocation_role)
        memcpy(key + HEAD + name_size, allocation_role, role_size);
    uint64_t hash = str_hash(key, size);
    struct resource_kind *k = find(key, size, hash);
    if (k) {
        k->refs++;
    } else {
        char *extra;
        k = make(key, size, hash, 0, &extra);
        k->plain = true;
        k->type = (uint8_t)type;
        k->revocable = revocable;
        k->name = (const char *)k->key + HEAD;
        k->allocation_role = allocation_role ? k->name + name_size : NULL;
        insert(k);
    }
    if (key != stack)
        free(key);
    return k;
}

static const char *put_text(char **at, const char *s)
{
    if (!s)
        return NULL;
    size_t size = strlen(s) + 1;
    char *copy = memcpy(*at, s, size);
    *at += size;
    return copy;
}

static size_t text_size(const char *s)
{
    return s ? strlen(s) + 1 : 0;
}

static bool is_unique(const Mesos__V1__Resource__DiskInfo *disk)
{
    if (!disk)
        return false;
    if (disk->persistence)
        return true;
    if (!disk->source || !disk->source->has_type)
        return false;
    switch (disk->source->type) {
    case MESOS__V1__RESOURCE__DISK_INFO__SOURCE__TYPE__MOUNT:
    case MESOS__V1__RESOURCE__DISK_INFO__SOURCE__TYPE__BLOCK:
        return true;
    case MESOS__V1__RESOURCE__DISK_INFO__SOURCE__TYPE__RAW:
        return disk->source->id != NULL;
    default:
        return false;
    }
}

/* `r` is in the new format and has no value. */
static const struct resource_kind *kind_of_template(const Mesos__V1__Resource *r)
{
    _cleanup_buf_ struct buf key = BUF_INIT;
    buf_putc(&key, KEY_MESSAGE);
    wire_pack(&r->base, &key);
    uint64_t hash = str_hash(key.p, key.n);
    struct resource_kind *k = find(key.p, key.n, hash);
    if (k) {
        k->refs++;
        return k;
    }
    const Mesos__V1__Resource__ReservationInfo *last = r->n_reservations
                                                           ? r->reservations[r->n_reservations - 1]
                                                           : NULL;
    const char *role = last ? last->role : NULL, *principal = last ? last->principal : NULL;
    const char *allocation = r->allocation_info ? r->allocation_info->role : NULL;
    const char *provider = r->provider_id ? r->provider_id->value : NULL;
    const char *persistence = r->disk && r->disk->persistence ? r->disk->persistence->id : NULL;
    char *at;
    k = make(key.p, key.n, hash,
        text_size(r->name) + text_size(role) + text_size(allocation) + text_size(principal) +
            text_size(provider) + text_size(persistence),
        &at);
    k->type = (uint8_t)r->type;
    k->name = put_text(&at, r->name);
    k->role = role ? put_text(&at, role) : "*";
    k->allocation_role = put_text(&at, allocation);
    k->principal = put_text(&at, principal);
    k->provider_id = put_text(&at, provider);
    k->persistence_id = put_text(&at, persistence);
    k->n_reservations = (uint16_t)r->n_reservations;
    k->dynamic = last && last->type == MESOS__V1__RESOURCE__RESERVATION_INFO__TYPE__DYNAMIC;
    k->revocable = r->revocable != NULL;
    k->shared = r->shared != NULL;
    k->unique = is_unique(r->disk);
    insert(k);
    if (persistence && r->disk->volume) {
        Mesos__V1__Resource bare = *r;
        Mesos__V1__Resource__DiskInfo disk = *r->disk;
        disk.volume = NULL;
        bare.disk = &disk;
        k->identity = kind_of_template(&bare);
    }
    return k;
}

const struct resource_kind *kind_of_wire(const Mesos__V1__Resource *r)
{
    bool unreserved = r->n_reservations == 0 && !r->reservation && streq(r->role, "*");
    const char *allocation = r->allocation_info ? r->allocation_info->role : NULL;
    if (unreserved && !r->disk && !r->provider_id && !r->shared)
        return kind_plain(r->name, (enum resource_type)r->type, r->revocable != NULL, allocation);
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    Mesos__V1__Resource template = *r;
    Mesos__V1__Resource__AllocationInfo no_role = MESOS__V1__RESOURCE__ALLOCATION_INFO__INIT;
    wire_to_stack(&template, &arena);
    template.scalar = NULL;
    template.ranges = NULL;
    template.set = NULL;
    /* Allocated to nobody is not allocated. */
    if (template.allocation_info) {
        no_role.role = template.allocation_info->role;
        template.allocation_info = no_role.role ? &no_role : NULL;
    }
    return kind_of_template(&template);
}

Mesos__V1__Resource *resource_kind_to_wire(const struct resource_kind *kind, struct arena *arena)
{
    if (!kind->plain) {
        ProtobufCMessage *m = NULL;
        int r = wire_unpack(
            &mesos__v1__resource__descriptor, arena, kind->key + 1, kind->key_size - 1, &m, NULL);
        assert(r == 0); /* we packed it from a message */
        return (Mesos__V1__Resource *)m;
    }
    Mesos__V1__Resource *r = arena_alloc(arena, sizeof(*r));
    mesos__v1__resource__init(r);
    r->name = arena_strdup(arena, kind->name);
    r->has_type = true;
    r->type = (Mesos__V1__Value__Type)kind->type;
    if (kind->revocable) {
        r->revocable = arena_alloc(arena, sizeof(*r->revocable));
        mesos__v1__resource__revocable_info__init(r->revocable);
    }
    if (kind->allocation_role) {
        r->allocation_info = arena_alloc(arena, sizeof(*r->allocation_info));
        mesos__v1__resource__allocation_info__init(r->allocation_info);
        r->allocation_info->role = arena_strdup(arena, kind->allocation_role);
    }
    return r;
}

const struct resource_kind *kind_with_allocation(
    const struct resource_kind *kind, const char *allocation_role)
{
    if (streq(kind->allocation_role, allocation_role))
        return resource_kind_ref(kind);
    if (kind->plain)
        return kind_plain(
            kind->name, (enum resource_type)kind->type, kind->revocable, allocation_role);
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    Mesos__V1__Resource *r = resource_kind_to_wire(kind, &arena);
    Mesos__V1__Resource__AllocationInfo info = MESOS__V1__RESOURCE__ALLOCATION_INFO__INIT;
    info.role = (char *)(uintptr_t)allocation_role;
    r->allocation_info = allocation_role ? &info : NULL;
    return kind_of_template(r);
}
