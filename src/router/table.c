#include "router/table.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/rng.h"

/*
 * File: header, slots (offsets of rows, open addressing, 0 = empty), rows. A row is its head, the
 * key, and the value at the next multiple of eight.
 */

static const char TABLE_MAGIC[8] = "dcostbl1";
static const char CONTROL_MAGIC[8] = "dcosctl1";
enum { KEPT_GENERATIONS = 2, OPEN_TRIES = 8, ALIGN = 8 };

struct header {
    char magic[8];
    uint64_t generation, size, seed;
    uint32_t bits, n_rows, n_slots, rows_at;
};

struct row {
    uint32_t key_n, value_n;
    uint64_t hash;
};

struct control {
    char magic[8];
    uint64_t generation[TABLE_KINDS];
};

static const char *const kind_names[TABLE_KINDS] = {"policy", "routes"};

static size_t align_up(size_t n)
{
    return (n + ALIGN - 1) & ~(size_t)(ALIGN - 1);
}

/* FNV-1a with a seed and a final mix: names are not chosen by strangers, the seed is a second
 * fence. */
static uint64_t hash_of(uint64_t seed, const char *p, size_t n)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325) ^ seed;
    for (size_t i = 0; i < n; i++)
        h = (h ^ (unsigned char)p[i]) * UINT64_C(0x100000001b3);
    h ^= h >> 32;
    h *= UINT64_C(0x9e3779b97f4a7c15);
    return h ^ (h >> 29);
}

static void table_path(char *out, size_t size, const char *folder, enum table_kind kind, uint64_t g)
{
    snprintf(out, size, "%s/%s.%llu", folder, kind_names[kind], (unsigned long long)g);
}

/* ---- writing ---- */

void table_builder_done(struct table_builder *b)
{
    buf_done(&b->rows);
    b->n = 0;
}

int table_add(struct table_builder *b, const char *key, const void *value, size_t n)
{
    const struct row head = {.key_n = (uint32_t)strlen(key), .value_n = (uint32_t)n};
    if (head.key_n > TABLE_KEY_MAX || n > TABLE_VALUE_MAX)
        return -E2BIG;
    static const char zeros[ALIGN];
    buf_append(&b->rows, &head, sizeof(head));
    buf_append(&b->rows, key, head.key_n);
    buf_append(&b->rows, zeros, align_up(head.key_n) - head.key_n);
    buf_append(&b->rows, value, n);
    buf_append(&b->rows, zeros, align_up(n) - n);
    b->n++;
    return 0;
}

struct table_writer {
    char *folder;
    int64_t gid;
    struct control *control;
};

static int map_control(const char *folder, bool writable, struct control **ret, struct error *err)
{
    _cleanup_free_ char *path = path_join(folder, "control");
    _cleanup_close_ int fd = open(path, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return error_errno(err, -errno, "cannot open %s", path);
    struct stat st;
    if (fstat(fd, &st) < 0 || st.st_size != (off_t)sizeof(struct control))
        return error_set(err, -EBADMSG, "%s is not a control file", path);
    void *p = mmap(
        NULL, sizeof(struct control), PROT_READ | (writable ? PROT_WRITE : 0), MAP_SHARED, fd, 0);
    if (p == MAP_FAILED)
        return error_errno(err, -errno, "cannot map %s", path);
    struct control *c = p;
    if (memcmp(c->magic, CONTROL_MAGIC, sizeof(c->magic)) != 0) {
        munmap(p, sizeof(*c));
        return error_set(err, -EBADMSG, "%s is not a control file", path);
    }
    *ret = c;
    return 0;
}

int table_writer_new(const char *folder, int64_t gid, struct table_writer **ret, struct error *err)
{
    struct control *c = NULL;
    int r = map_control(folder, true, &c, err);
    if (r == -ENOENT || r == -EBADMSG) {
        struct control fresh = {0};
        memcpy(fresh.magic, CONTROL_MAGIC, sizeof(fresh.magic));
        _cleanup_free_ char *path = path_join(folder, "control");
        r = file_write_atomic(path, &fresh, sizeof(fresh), 0644, err);
        if (r == 0)
            r = map_control(folder, true, &c, err);
    }
    if (r < 0)
        return r;
    struct table_writer *w = xnew(struct table_writer);
    w->folder = xstrdup(folder);
    w->gid = gid;
    w->control = c;
    *ret = w;
    return 0;
}

void table_writer_free(struct table_writer *w)
{
    if (!w)
        return;
    munmap(w->control, sizeof(*w->control));
    free(w->folder);
    free(w);
}

uint64_t table_generation(const struct table_writer *w, enum table_kind kind)
{
    return __atomic_load_n(&w->control->generation[kind], __ATOMIC_ACQUIRE);
}

/* Puts the row at `offset` into the slots; a later row takes the place of one with its key. */
static void insert(char *file, uint32_t *slots, uint32_t n_slots, uint64_t seed, uint32_t offset)
{
    struct row *row = (struct row *)(void *)(file + offset);
    const char *key = file + offset + sizeof(*row);
    row->hash = hash_of(seed, key, row->key_n);
    uint32_t i = (uint32_t)row->hash & (n_slots - 1);
    while (slots[i]) {
        const struct row *there = (const struct row *)(const void *)(file + slots[i]);
        if (there->hash == row->hash && there->key_n == row->key_n &&
            memcmp(file + slots[i] + sizeof(*there), key, row->key_n) == 0)
            break;
        i = (i + 1) & (n_slots - 1);
    }
    slots[i] = offset;
}

static size_t row_size(const struct row *row)
{
    return sizeof(*row) + align_up(row->key_n) + align_up(row->value_n);
}

static int write_file(struct table_writer *w, enum table_kind kind, uint64_t generation,
    const char *p, size_t n, struct error *err)
{
    char path[4096], temporary[4160];
    table_path(path, sizeof(path), w->folder, kind, generation);
    snprintf(temporary, sizeof(temporary), "%s.new", path);
    _cleanup_close_ int fd = open(
        temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0640);
    if (fd < 0)
        return error_errno(err, -errno, "cannot make %s", temporary);
    int r = 0;
    if (w->gid >= 0 && fchown(fd, (uid_t)-1, (gid_t)w->gid) < 0)
        r = -errno;
    if (r == 0)
        r = fd_write_all(fd, p, n);
    if (r == 0 && rename(temporary, path) < 0)
        r = -errno;
    if (r < 0) {
        unlink(temporary);
        return error_errno(err, r, "cannot write %s", path);
    }
    return 0;
}

int table_publish(struct table_writer *w, enum table_kind kind, uint32_t bits,
    struct table_builder *b, struct error *err)
{
    uint32_t n_slots = 8;
    while (n_slots < b->n * 2)
        n_slots *= 2;
    const size_t rows_at = align_up(sizeof(struct header) + n_slots * sizeof(uint32_t));
    const size_t size = rows_at + b->rows.n;
    if (size > TABLE_SIZE_MAX)
        return error_set(err, -EFBIG, "the table %s is too large", kind_names[kind]);
    const uint64_t generation = table_generation(w, kind) + 1;
    struct header h = {.generation = generation,
        .size = size,
        .bits = bits,
        .n_rows = b->n,
        .n_slots = n_slots,
        .rows_at = (uint32_t)rows_at};
    memcpy(h.magic, TABLE_MAGIC, sizeof(h.magic));
    random_bytes(&h.seed, sizeof(h.seed));
    _cleanup_free_ char *file = xcalloc(1, size);
    memcpy(file, &h, sizeof(h));
    if (b->rows.n)
        memcpy(file + rows_at, b->rows.p, b->rows.n);
    uint32_t *slots = (uint32_t *)(void *)(file + sizeof(h));
    for (size_t at = rows_at; at < size;) {
        insert(file, slots, n_slots, h.seed, (uint32_t)at);
        at += row_size((const struct row *)(const void *)(file + at));
    }
    int r = write_file(w, kind, generation, file, size, err);
    if (r < 0)
        return r;
    __atomic_store_n(&w->control->generation[kind], generation, __ATOMIC_RELEASE);
    table_builder_done(b);
    if (generation > KEPT_GENERATIONS) {
        char old[4096];
        table_path(old, sizeof(old), w->folder, kind, generation - KEPT_GENERATIONS);
        unlink(old);
    }
    return 0;
}

/* ---- reading ---- */

struct table_view {
    const struct header *header; /* the mapping */
    uint64_t generation;
};

struct table_reader {
    char *folder;
    struct control *control;
    struct table_view views[TABLE_KINDS];
};

int table_reader_new(const char *folder, struct table_reader **ret, struct error *err)
{
    struct control *c = NULL;
    int r = map_control(folder, false, &c, err);
    if (r < 0)
        return r;
    struct table_reader *reader = xnew(struct table_reader);
    reader->folder = xstrdup(folder);
    reader->control = c;
    *ret = reader;
    return 0;
}

static void view_done(struct table_view *v)
{
    if (v->header)
        munmap((void *)(uintptr_t)v->header, v->header->size);
    v->header = NULL;
}

void table_reader_free(struct table_reader *r)
{
    if (!r)
        return;
    for (int i = 0; i < TABLE_KINDS; i++)
        view_done(&r->views[i]);
    munmap(r->control, sizeof(*r->control));
    free(r->folder);
    free(r);
}

static const struct header *map_table(const char *path, uint64_t generation)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0 || st.st_size < (off_t)sizeof(struct header))
        return NULL;
    void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED)
        return NULL;
    const struct header *h = p;
    if (memcmp(h->magic, TABLE_MAGIC, sizeof(h->magic)) != 0 || h->size != (uint64_t)st.st_size ||
        h->generation != generation || h->rows_at > h->size || h->n_slots == 0 ||
        (h->n_slots & (h->n_slots - 1)) != 0) {
        munmap(p, (size_t)st.st_size);
        return NULL;
    }
    return h;
}

const struct table_view *table_current(struct table_reader *r, enum table_kind kind)
{
    struct table_view *v = &r->views[kind];
    for (int i = 0; i < OPEN_TRIES; i++) {
        const uint64_t g = __atomic_load_n(&r->control->generation[kind], __ATOMIC_ACQUIRE);
        if (g == v->generation || g == 0)
            break;
        char path[4096];
        table_path(path, sizeof(path), r->folder, kind, g);
        const struct header *h = map_table(path, g);
        /* Gone already: a newer one is in force. */
        if (!h)
            continue;
        view_done(v);
        v->header = h;
        v->generation = g;
        break;
    }
    return v->header ? v : NULL;
}

uint64_t table_view_generation(const struct table_view *v)
{
    return v->generation;
}

uint32_t table_view_bits(const struct table_view *v)
{
    return v->header->bits;
}

const void *table_get(const struct table_view *v, const char *key, size_t key_n, size_t *ret_n)
{
    const struct header *h = v->header;
    const char *file = (const char *)h;
    const uint32_t *slots = (const uint32_t *)(const void *)(file + sizeof(*h));
    const uint64_t hash = hash_of(h->seed, key, key_n);
    for (uint32_t i = (uint32_t)hash & (h->n_slots - 1); slots[i]; i = (i + 1) & (h->n_slots - 1)) {
        const struct row *row = (const struct row *)(const void *)(file + slots[i]);
        if (row->hash == hash && row->key_n == key_n &&
            memcmp(file + slots[i] + sizeof(*row), key, key_n) == 0) {
            if (ret_n)
                *ret_n = row->value_n;
            return file + slots[i] + sizeof(*row) + align_up(row->key_n);
        }
    }
    return NULL;
}

bool table_next(const struct table_view *v, size_t *pos, struct str *ret_key, struct str *ret_value)
{
    const struct header *h = v->header;
    if (*pos == 0)
        *pos = h->rows_at;
    if (*pos + sizeof(struct row) > h->size)
        return false;
    const char *p = (const char *)h + *pos;
    const struct row *row = (const struct row *)(const void *)p;
    *ret_key = (struct str){p + sizeof(*row), row->key_n};
    *ret_value = (struct str){p + sizeof(*row) + align_up(row->key_n), row->value_n};
    *pos += row_size(row);
    return true;
}
