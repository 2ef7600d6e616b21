/* The writer thread's half: batches become transactions. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/map.h"
#include "base/parse.h"
#include "store/zk.h"

/* Where a node's version comes near its end, the node is made anew. */
enum { NODE_VERSION_MAX = 1 << 30 };

static const char g_format[] = "dcos-store";

/* ---- the ledger, in the node `state` ---- */

static bool cut_number(struct str *rest, uint64_t *ret)
{
    struct str part;
    return str_split(rest, ' ', &part) && parse_u64(part, ret) == 0;
}

static bool parse_ledger(struct str text, struct zk_ledger *l, uint64_t *ret_format)
{
    struct str part;
    uint64_t counter;
    if (!str_split(&text, ' ', &part) || !str_eq_c(part, g_format) ||
        !cut_number(&text, ret_format))
        return false;
    if (*ret_format > ZK_FORMAT)
        return true;
    if (!cut_number(&text, &l->epoch) || !cut_number(&text, &counter) || counter > INT64_MAX ||
        !str_split(&text, ' ', &part) || part.n >= ZK_WRITER_SIZE ||
        !cut_number(&text, &l->sequence))
        return false;
    l->counter = (int64_t)counter;
    memcpy(l->writer, part.p, part.n);
    l->writer[part.n] = '\0';
    return true;
}

static void write_ledger(const struct zk_ledger *l, struct buf *ret)
{
    buf_printf(ret, "%s %d %" PRIu64 " %" PRId64 " %s %" PRIu64, g_format, ZK_FORMAT, l->epoch,
        l->counter, l->writer, l->sequence);
}

static int create_layout(struct zk_store *s)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    struct zk_ledger empty = {.writer = "-"};
    write_ledger(&empty, &text);
    int r = zk_make_path(s->session, s->folder, ZK_PRIVATE);
    if (r == 0)
        r = zk_make_path(s->session, s->buckets, ZK_PRIVATE);
    if (r < 0)
        return r;
    struct zk_op op = {
        .type = ZK_OP_CREATE, .path = s->state, .p = text.p, .n = text.n, .access = ZK_PRIVATE};
    ssize_t failed;
    r = zk_multi(s->session, &op, 1, &failed);
    return r == -EEXIST ? 0 : r; /* another one was faster */
}

/* Reads the ledger as it is after everything that was written up to now. */
static int load_ledger(struct zk_store *s, struct error *err)
{
    s->ledger = (struct zk_ledger){0};
    memset(s->bucket_known, 0, sizeof(s->bucket_known));
    for (;;) {
        _cleanup_buf_ struct buf text = BUF_INIT;
        struct zk_info info;
        uint64_t format = 0;
        int r = zk_store_reconnect(s, err);
        if (r < 0)
            return r;
        r = zk_sync(s->session, s->state);
        if (r == 0)
            r = zk_get(s->session, s->state, false, &text, &info);
        if (r == -ENOENT)
            r = create_layout(s);
        else if (r == 0) {
            if (!parse_ledger(buf_str(&text), &s->ledger, &format))
                return error_set(err, -EBADMSG, "ZooKeeper node %s is not ours", s->state);
            if (format > ZK_FORMAT)
                return error_set(err, -EBADMSG,
                    "state in ZooKeeper (%s) was written by a newer release; use that one",
                    s->state);
            s->ledger.node_version = info.version;
            s->ledger.known = true;
            return 0;
        }
        if (r < 0 && r != -ENOTCONN && r != -ESTALE)
            return error_errno(err, r, "ZooKeeper node %s", s->state);
    }
}

/* ---- one transaction ---- */

/* A key that the transaction touches: as it is stored, and as it becomes. */
struct slot {
    char *path;
    const char *key;
    int error; /* of reading */
    bool read_version, existed;
    int64_t version, stored_version; /* STORE_ABSENT: not there; INT64_MAX: there, not known */
    const struct store_op *last;     /* that puts or deletes it, NULL = untouched */
};

struct plan {
    struct zk_store *s;
    struct list *batches;
    size_t first, n; /* those of the list that it is about */
    struct map slots;
    VEC(struct slot *) order;
    bool need_bucket[ZK_BUCKETS];
    struct zk_ledger next;
    bool all_stale; /* each batch is of a leader that was */
};

static void plan_done(struct plan *p)
{
    VEC_FOREACH (slot, &p->order) {
        free((*slot)->path);
        free(*slot);
    }
    vec_done(&p->order);
    map_done(&p->slots);
}

static void note_key(struct plan *p, const struct store_op *op)
{
    struct slot *slot = map_get(&p->slots, op->key);
    if (!slot) {
        slot = xnew(struct slot);
        slot->key = op->key;
        slot->path = zk_store_path(p->s, op->key);
        map_put(&p->slots, slot->key, slot);
        vec_push(&p->order, slot);
    }
    slot->read_version |= op->version > STORE_ABSENT;
}

static void on_slot(
    size_t i, int status, const char *data, size_t n, const struct zk_info *info, void *userdata)
{
    struct slot **slots = userdata;
    struct slot *slot = slots[i];
    slot->error = status == -ENOENT ? 0 : status;
    slot->existed = status == 0;
    slot->stored_version = status == 0 ? INT64_MAX : STORE_ABSENT;
    if (status == 0 && slot->read_version)
        slot->error = zk_store_read_header(data, n, &slot->stored_version);
}

static void on_bucket(
    size_t i, int status, const char *data, size_t n, const struct zk_info *info, void *userdata)
{
    bool *there = userdata;
    there[i] = status == 0;
}

/* Reads the slots of one kind: whether they are there, or with the version in their data too. */
static int read_slots(struct plan *p, bool with_version)
{
    VEC(char *) paths = {0};
    VEC(struct slot *) slots = {0};
    VEC_FOREACH (slot, &p->order)
        if ((*slot)->read_version == with_version) {
            vec_push(&paths, (*slot)->path);
            vec_push(&slots, *slot);
        }
    int r = 0;
    if (paths.n > 0)
        r = with_version
                ? zk_get_many(p->s->session, paths.items, paths.n, on_slot, slots.items)
                : zk_exists_many(p->s->session, paths.items, paths.n, on_slot, slots.items);
    VEC_FOREACH (slot, &slots)
        if (r == 0)
            r = (*slot)->error;
    vec_done(&paths);
    vec_done(&slots);
    return r;
}

/* Finds out which buckets of the keys are still to be made. */
static int read_buckets(struct plan *p)
{
    VEC(char *) paths = {0};
    VEC(unsigned) numbers = {0};
    bool asked[ZK_BUCKETS] = {false};
    VEC_FOREACH (slot, &p->order) {
        unsigned bucket = zk_store_bucket((*slot)->key);
        if (asked[bucket] || p->s->bucket_known[bucket])
            continue;
        asked[bucket] = true;
        vec_push(&paths, zk_store_bucket_path(p->s, bucket));
        vec_push(&numbers, bucket);
    }
    _cleanup_free_ bool *there = xnew_array(bool, paths.n + 1);
    int r = paths.n == 0 ? 0
                         : zk_exists_many(p->s->session, paths.items, paths.n, on_bucket, there);
    for (size_t i = 0; i < paths.n && r == 0; i++) {
        p->need_bucket[numbers.items[i]] = !there[i];
        p->s->bucket_known[numbers.items[i]] = there[i];
    }
    VEC_FOREACH (path, &paths)
        free(*path);
    vec_done(&paths);
    vec_done(&numbers);
    return r;
}

/* What an operation changed, to take it back when a later one of its batch fails. */
struct undo {
    struct slot *slot;
    int64_t version;
    const struct store_op *last;
};

static void apply_batch(struct plan *p, struct store_batch *batch)
{
    batch->status = 0;
    batch->failed_op = -1;
    if (batch->epoch != 0 && batch->epoch != p->next.epoch) {
        batch->status = -EAGAIN;
        return;
    }
    p->all_stale = false;
    int64_t counter = p->next.counter;
    VEC(struct undo) undo = {0};
    for (size_t i = 0; i < batch->n; i++) {
        const struct store_op *op = &batch->ops[i];
        struct slot *slot = map_get(&p->slots, op->key);
        if (op->version != STORE_ANY_VERSION && op->version != slot->version) {
            batch->status = -EAGAIN;
            batch->failed_op = (ssize_t)i;
            break;
        }
        batch->new_versions[i] = 0;
        if (op->type == STORE_CHECK)
            continue;
        vec_push(&undo, (struct undo){slot, slot->version, slot->last});
        slot->last = op;
        slot->version = op->type == STORE_PUT ? ++counter : STORE_ABSENT;
        if (op->type == STORE_PUT)
            batch->new_versions[i] = counter;
    }
    if (batch->status == 0)
        p->next.counter = counter;
    else
        while (undo.n > 0) {
            struct undo u = vec_pop(&undo);
            u.slot->version = u.version;
            u.slot->last = u.last;
        }
    vec_done(&undo);
}

static bool is_planned(const struct plan *p, size_t k)
{
    return k >= p->first && k < p->first + p->n;
}

/* Decides about every batch by what is stored now. */
static int make_plan(struct plan *p)
{
    size_t k = 0;
    LIST_FOREACH (batch, p->batches, struct store_batch, node) {
        if (!is_planned(p, k++))
            continue;
        for (size_t i = 0; i < batch->n; i++)
            note_key(p, &batch->ops[i]);
    }
    int r = read_slots(p, false);
    if (r == 0)
        r = read_slots(p, true);
    if (r == 0)
        r = read_buckets(p);
    if (r < 0)
        return r;
    VEC_FOREACH (slot, &p->order)
        (*slot)->version = (*slot)->stored_version;
    p->next = p->s->ledger;
    p->all_stale = p->n > 0;
    k = 0;
    LIST_FOREACH (batch, p->batches, struct store_batch, node) {
        if (!is_planned(p, k++))
            continue;
        apply_batch(p, batch);
    }
    return 0;
}

/* Data of an entry, or path of a bucket, for as long as the transaction is under way. */
struct parts {
    VEC(struct zk_op) ops;
    VEC(char *) owned;
};

static void parts_done(struct parts *t)
{
    VEC_FOREACH (p, &t->owned)
        free(*p);
    vec_done(&t->owned);
    vec_done(&t->ops);
}

static void add_entry(struct parts *t, const struct slot *slot)
{
    if (slot->last->type == STORE_DELETE) {
        if (slot->existed)
            vec_push(
                &t->ops, (struct zk_op){.type = ZK_OP_DELETE, .path = slot->path, .version = -1});
        return;
    }
    char *data = xmalloc(ZK_HEADER + slot->last->n);
    zk_store_header(slot->version, data);
    if (slot->last->n > 0)
        memcpy(data + ZK_HEADER, slot->last->value, slot->last->n);
    vec_push(&t->owned, data);
    vec_push(&t->ops, (struct zk_op){.type = slot->existed ? ZK_OP_SET : ZK_OP_CREATE,
                          .path = slot->path,
                          .p = data,
                          .n = ZK_HEADER + slot->last->n,
                          .version = -1,
                          .access = ZK_PRIVATE});
}

/* The new ledger, on condition that nobody changed it. */
static void add_ledger(struct zk_store *s, struct parts *t, const struct zk_ledger *next)
{
    struct buf text = BUF_INIT;
    write_ledger(next, &text);
    size_t n = text.n;
    char *data = buf_steal(&text);
    vec_push(&t->owned, data);
    struct zk_op op = {.type = ZK_OP_SET,
        .path = s->state,
        .p = data,
        .n = n,
        .version = s->ledger.node_version,
        .access = ZK_PRIVATE};
    if (op.version >= NODE_VERSION_MAX) {
        vec_push(
            &t->ops, (struct zk_op){.type = ZK_OP_DELETE, .path = s->state, .version = op.version});
        op.type = ZK_OP_CREATE;
    }
    vec_push(&t->ops, op);
}

/* Sends it. 1 = it is durable, 0 = look again and decide anew, or an error for good. */
static int send_parts(
    struct zk_store *s, struct parts *t, struct zk_ledger *next, struct error *err)
{
    ssize_t failed;
    int r = zk_multi(s->session, t->ops.items, t->ops.n, &failed);
    if (r == 0) {
        next->node_version = s->ledger.node_version >= NODE_VERSION_MAX
                                 ? 0
                                 : s->ledger.node_version + 1;
        s->ledger = *next;
        return 1;
    }
    if (r == -EACCES || (r == -EIO && failed < 0))
        return error_errno(err, r, "ZooKeeper does not take what is stored");
    /* The answer was lost, or somebody else wrote: what the ledger says now decides. */
    s->ledger.known = false;
    r = load_ledger(s, err);
    if (r < 0)
        return r;
    return streq(s->ledger.writer, s->writer) && s->ledger.sequence == next->sequence;
}

static int try_plan(struct plan *p, struct error *err)
{
    struct zk_store *s = p->s;
    int r = make_plan(p);
    if (r == -ENOTCONN || r == -ESTALE) {
        s->ledger.known = false;
        return 0;
    }
    if (r < 0)
        return error_errno(err, r, "state in ZooKeeper (%s) cannot be read", s->buckets);
    if (p->all_stale)
        return 1; /* a leader that was must not leave a trace */
    struct parts t = {0};
    memcpy(p->next.writer, s->writer, sizeof(s->writer));
    p->next.sequence = ++s->sequence;
    add_ledger(s, &t, &p->next);
    for (unsigned i = 0; i < ZK_BUCKETS; i++)
        if (p->need_bucket[i]) {
            char *path = zk_store_bucket_path(s, i);
            vec_push(&t.owned, path);
            vec_push(&t.ops,
                (struct zk_op){.type = ZK_OP_CREATE, .path = path, .p = "", .access = ZK_PRIVATE});
        }
    bool names = false;
    VEC_FOREACH (slot, &p->order)
        if ((*slot)->last) {
            add_entry(&t, *slot);
            names |= (*slot)->existed != ((*slot)->last->type == STORE_PUT);
        }
    r = send_parts(s, &t, &p->next, err);
    parts_done(&t);
    if (r > 0 && names) {
        pthread_mutex_lock(&s->mutex);
        s->names_changed++;
        pthread_mutex_unlock(&s->mutex);
    }
    return r;
}

/* Writes n batches of the list in one transaction. */
static int transact(
    struct zk_store *s, struct list *batches, size_t first, size_t n, struct error *err)
{
    int r = 0;
    while (r == 0) {
        if (!s->ledger.known)
            r = load_ledger(s, err);
        if (r < 0)
            break;
        struct plan p = {.s = s, .batches = batches, .first = first, .n = n};
        r = try_plan(&p, err);
        plan_done(&p);
    }
    return r < 0 ? r : 0;
}

static size_t batch_size(const struct store_batch *batch)
{
    size_t size = 0;
    for (size_t i = 0; i < batch->n; i++)
        size += store_op_size(
            batch->ops[i].key, batch->ops[i].type == STORE_PUT ? batch->ops[i].n : 0);
    return size;
}

/* A group may need several transactions. When a later one fails for good the process ends, and it
 * is as if it had ended before it was answered. */
int zk_store_flush(struct store_backend *b, struct list *batches, struct error *err)
{
    struct zk_store *s = container_of(b, struct zk_store, backend);
    size_t first = 0, n = 0, size = 0;
    int r = 0;
    LIST_FOREACH (batch, batches, struct store_batch, node) {
        size_t more = batch_size(batch);
        if (n > 0 && size + more > STORE_BATCH_MAX) {
            r = transact(s, batches, first, n, err);
            if (r < 0)
                return r;
            first += n;
            n = size = 0;
        }
        n++;
        size += more;
    }
    return n > 0 ? transact(s, batches, first, n, err) : 0;
}

int zk_store_lead(struct store_backend *b, const char *info, uint64_t *ret_epoch, struct error *err)
{
    struct zk_store *s = container_of(b, struct zk_store, backend);
    int r = load_ledger(s, err);
    while (r == 0) {
        struct parts t = {0};
        struct zk_ledger next = s->ledger;
        next.epoch++;
        memcpy(next.writer, s->writer, sizeof(s->writer));
        next.sequence = ++s->sequence;
        add_ledger(s, &t, &next);
        r = send_parts(s, &t, &next, err);
        parts_done(&t);
    }
    if (r < 0)
        return r;
    *ret_epoch = s->ledger.epoch;
    return 0;
}
