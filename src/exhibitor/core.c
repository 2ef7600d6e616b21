#include "exhibitor/core.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/macro.h"

/* ---- who is alive ---- */

static bool is(const struct master_record *m, const char *address, const char *token)
{
    return streq(m->address, address) && streq(m->token, token);
}

static bool is_self(const struct core *c, const struct master_record *m)
{
    return is(m, c->options.address, c->options.token);
}

static const struct core_seen *seen_of(const struct core *c, const struct master_record *m)
{
    for (size_t i = 0; i < c->n_seen; i++)
        if (is(m, c->seen[i].address, c->seen[i].token))
            return &c->seen[i];
    return NULL;
}

static void note_one(
    struct core *c, const struct master_record *m, int64_t now_us, struct core_seen *to)
{
    const struct core_seen *old = seen_of(c, m);
    *to = (struct core_seen){.beat = m->beat, .since_us = now_us};
    if (old) {
        bool moves = old->beat != m->beat;
        to->moved = old->moved || moves;
        if (!moves)
            to->since_us = old->since_us;
    }
    snprintf(to->address, sizeof(to->address), "%s", m->address);
    snprintf(to->token, sizeof(to->token), "%s", m->token);
}

static void note(struct core *c, const struct document *d, int64_t now_us)
{
    struct core_seen next[ARRAY_SIZE(c->seen)];
    size_t n = 0;
    for (size_t i = 0; i < d->n_members; i++)
        note_one(c, &d->members[i], now_us, &next[n++]);
    for (size_t i = 0; i < d->n_waiting; i++)
        note_one(c, &d->waiting[i], now_us, &next[n++]);
    memcpy(c->seen, next, n * sizeof(next[0]));
    c->n_seen = n;
}

static bool alive(const struct core *c, const struct master_record *m, int64_t now_us)
{
    const struct core_seen *s = seen_of(c, m);
    return is_self(c, m) || (s && s->moved && now_us - s->since_us <= c->options.fresh_us);
}

static bool seen_by_others(
    const struct core *c, const struct document *d, const struct master_record *m, int64_t now_us)
{
    for (size_t i = 0; i < d->n_members; i++) {
        const struct master_record *o = &d->members[i];
        if (o == m || !alive(c, o, now_us))
            continue;
        for (size_t j = 0; j < o->n_sees; j++)
            if (o->sees[j] == m->id)
                return true;
    }
    return false;
}

/* Somebody alive waits on the address of a member: its machine was made anew. */
static bool superseded(
    const struct core *c, const struct document *d, const struct master_record *m, int64_t now_us)
{
    for (size_t i = 0; i < d->n_waiting; i++)
        if (streq(d->waiting[i].address, m->address) && alive(c, &d->waiting[i], now_us))
            return true;
    return false;
}

static bool out(
    const struct core *c, const struct document *d, const struct master_record *m, int64_t now_us)
{
    const struct core_seen *s = seen_of(c, m);
    if (alive(c, m, now_us) || seen_by_others(c, d, m, now_us))
        return false;
    return (s && now_us - s->since_us >= c->options.dead_us) || superseded(c, d, m, now_us);
}

/* It runs with this generation and serves. */
static bool ready(
    const struct core *c, const struct document *d, const struct master_record *m, int64_t now_us)
{
    return alive(c, m, now_us) && m->applied == d->generation && m->serving;
}

const struct master_record *core_self(const struct core *c, const struct document *d)
{
    for (size_t i = 0; i < d->n_members; i++)
        if (is_self(c, &d->members[i]))
            return &d->members[i];
    return NULL;
}

/* ---- registration ---- */

static struct master_record *waiting_self(const struct core *c, struct document *d)
{
    for (size_t i = 0; i < d->n_waiting; i++)
        if (is_self(c, &d->waiting[i]))
            return &d->waiting[i];
    return NULL;
}

static void drop_waiting(struct document *d, size_t i)
{
    d->n_waiting--;
    memmove(&d->waiting[i], &d->waiting[i + 1], (d->n_waiting - i) * sizeof(d->waiting[0]));
}

/* Somebody else with our address is what was here before; a full list loses one that is dead. */
static bool make_room(const struct core *c, struct document *d, int64_t now_us)
{
    for (size_t i = d->n_waiting; i > 0; i--)
        if (streq(d->waiting[i - 1].address, c->options.address))
            drop_waiting(d, i - 1);
    for (size_t i = 0; i < d->n_waiting && d->n_waiting == WAITING_MAX; i++) {
        const struct core_seen *s = seen_of(c, &d->waiting[i]);
        if (s && now_us - s->since_us >= c->options.dead_us)
            drop_waiting(d, i);
    }
    return d->n_waiting < WAITING_MAX;
}

static struct master_record *enlist(const struct core *c, struct document *d, int64_t now_us)
{
    struct master_record *m = waiting_self(c, d);
    if (m)
        return m;
    if (!make_room(c, d, now_us))
        return NULL;
    m = &d->waiting[d->n_waiting++];
    *m = (struct master_record){0};
    snprintf(m->address, sizeof(m->address), "%s", c->options.address);
    snprintf(m->token, sizeof(m->token), "%s", c->options.token);
    return m;
}

/* ---- forming ---- */

static int by_address(const void *a, const void *b)
{
    const struct master_record *x = a, *y = b;
    struct in_addr p = {0}, q = {0};
    inet_pton(AF_INET, x->address, &p);
    inet_pton(AF_INET, y->address, &q);
    return ntohl(p.s_addr) < ntohl(q.s_addr) ? -1 : ntohl(p.s_addr) > ntohl(q.s_addr);
}

/* How many are there to form an ensemble; forms it when they are enough. */
static size_t form(const struct core *c, struct document *d, int64_t now_us)
{
    struct master_record ready_ones[WAITING_MAX];
    size_t n = 0;
    for (size_t i = 0; i < d->n_waiting; i++)
        if (alive(c, &d->waiting[i], now_us))
            ready_ones[n++] = d->waiting[i];
    if (n < c->options.masters)
        return n;
    qsort(ready_ones, n, sizeof(ready_ones[0]), by_address);
    d->generation = 1;
    d->next_id = 1;
    d->n_members = 0;
    for (size_t i = 0; i < c->options.masters; i++) {
        struct master_record *m = &d->members[d->n_members++];
        *m = ready_ones[i];
        m->id = d->next_id++;
        m->joined = 1;
        for (size_t j = 0; j < d->n_waiting; j++)
            if (is(&d->waiting[j], m->address, m->token))
                drop_waiting(d, j--);
    }
    return n;
}

/* ---- replacing ---- */

static uint32_t draw_id(struct document *d)
{
    if (d->next_id <= SERVER_ID_MAX)
        return d->next_id++;
    for (uint32_t id = 1;; id++) {
        bool used = false;
        for (size_t i = 0; i < d->n_members; i++)
            used |= d->members[i].id == id;
        if (!used)
            return id;
    }
}

/* The last change was made by all that are not out, and a quorum serves. */
static bool complete(const struct core *c, const struct document *d, int64_t now_us)
{
    size_t serving = 0;
    for (size_t i = 0; i < d->n_members; i++) {
        if (ready(c, d, &d->members[i], now_us))
            serving++;
        else if (!out(c, d, &d->members[i], now_us))
            return false;
    }
    return serving >= d->n_members / 2 + 1;
}

static int by_id(const void *a, const void *b)
{
    const struct master_record *x = a, *y = b;
    return x->id < y->id ? -1 : x->id > y->id;
}

/* The one who takes the place: with the same address before others. */
static ssize_t candidate_for(
    const struct core *c, const struct document *d, const struct master_record *m, int64_t now_us)
{
    ssize_t found = -1;
    for (size_t i = 0; i < d->n_waiting; i++) {
        const struct master_record *w = &d->waiting[i];
        if (!alive(c, w, now_us))
            continue;
        if (streq(w->address, m->address))
            return (ssize_t)i;
        bool elsewhere = false; /* its address is another member's: it is for that place */
        for (size_t j = 0; j < d->n_members; j++)
            elsewhere |= streq(d->members[j].address, w->address);
        if (found < 0 && !elsewhere)
            found = (ssize_t)i;
    }
    return found;
}

static bool replace_one(const struct core *c, struct document *d, int64_t now_us)
{
    if (!complete(c, d, now_us))
        return false;
    for (size_t i = 0; i < d->n_members; i++) {
        if (!out(c, d, &d->members[i], now_us))
            continue;
        ssize_t w = candidate_for(c, d, &d->members[i], now_us);
        if (w < 0)
            continue;
        struct master_record next = d->waiting[w];
        d->generation++;
        next.joined = d->generation;
        next.id = draw_id(d);
        drop_waiting(d, (size_t)w);
        d->members[i] = next;
        qsort(d->members, d->n_members, sizeof(d->members[0]), by_id);
        return true;
    }
    return false;
}

/* ---- making a change ---- */

/* Servers that may come back with the list before this generation's: the one that was replaced, and
 * those that are out before they have changed. All others have. */
static bool were_a_quorum(const struct document *d)
{
    size_t n = d->generation > 1;
    for (size_t i = 0; i < d->n_members; i++)
        n += d->members[i].joined != d->generation && d->members[i].applied != d->generation;
    return n >= d->n_members / 2 + 1;
}

/* Whether it is this member's turn to run with the generation of the document. */
static bool my_turn(
    const struct core *c, const struct document *d, const struct master_record *me, int64_t now_us)
{
    const bool new = me->joined == d->generation;
    if (were_a_quorum(d) && new)
        return false;
    for (size_t i = 0; i < d->n_members; i++) {
        const struct master_record *m = &d->members[i];
        if (m == me || m->joined == d->generation || out(c, d, m, now_us))
            continue;
        if (new && m->applied != d->generation)
            return false;
        if (!new && m->id < me->id && !ready(c, d, m, now_us))
            return false;
        if (!new && m->id > me->id && (!alive(c, m, now_us) || !m->serving))
            return false;
    }
    return true;
}

static enum core_action act(
    const struct core *c, const struct document *d, const struct core_local *local, int64_t now_us)
{
    const struct master_record *me = core_self(c, d);
    char target[ENSEMBLE_TEXT_MAX];
    if (d->generation == 0)
        return CORE_NOTHING;
    if (!me)
        return local->wanted[0] || local->running[0] ? CORE_LEAVE : CORE_NOTHING;
    document_ensemble(d, target);
    /* What was begun is finished, whoever is alive by now. */
    if (streq(local->wanted, target))
        return local->running[0] && !streq(local->running, target) ? CORE_APPLY : CORE_NOTHING;
    return my_turn(c, d, me, now_us) ? CORE_APPLY : CORE_NOTHING;
}

/* ---- a step ---- */

static void tell_local(
    struct master_record *me, const struct document *d, const struct core_local *local)
{
    char target[ENSEMBLE_TEXT_MAX];
    document_ensemble(d, target);
    if (streq(local->running, target))
        me->applied = d->generation;
    me->serving = local->serving;
    me->n_sees = local->n_sees;
    memcpy(me->sees, local->sees, sizeof(me->sees));
}

static void describe(const struct core *c, const struct document *d, size_t ready_to_form,
    int64_t now_us, struct core_result *r)
{
    const struct master_record *me = core_self(c, d);
    size_t gone = 0;
    for (size_t i = 0; i < d->n_members; i++)
        gone += !alive(c, &d->members[i], now_us);
    r->settled = d->generation > 0 && (!me || complete(c, d, now_us));
    if (d->generation == 0)
        snprintf(r->state, sizeof(r->state), "waits for masters: %zu of %u are there",
            ready_to_form, c->options.masters);
    else if (!me && gone == d->n_members)
        snprintf(r->state, sizeof(r->state),
            "waits for a place, and none of the %zu members is known to live: if they are of a "
            "cluster that is no more, remove the shared configuration",
            d->n_members);
    else if (!me)
        snprintf(
            r->state, sizeof(r->state), "waits for a place in the ensemble of %zu", d->n_members);
    else
        snprintf(r->state, sizeof(r->state), "server %u of generation %llu, %s", me->id,
            (unsigned long long)d->generation,
            r->settled                     ? "settled"
            : me->applied != d->generation ? "this one is to change"
                                           : "others are to change");
    if (me && d->n_members != c->options.masters)
        snprintf(r->state + strlen(r->state), sizeof(r->state) - strlen(r->state),
            "; it has %zu servers, not num_masters", d->n_members);
}

void core_init(struct core *c, const struct core_options *options, const struct document *known)
{
    *c = (struct core){.options = *options};
    c->has_known = known && core_self(c, known);
    if (c->has_known)
        c->known = *known;
}

/* What to start from when the store has nothing, or less than is known here. */
static void start_from(const struct core *c, struct document *d)
{
    *d = (struct document){.next_id = 1};
    snprintf(d->cluster, sizeof(d->cluster), "%s", c->options.cluster);
    if (c->has_known)
        *d = c->known;
}

void core_step(struct core *c, const struct document *stored, const struct core_local *local,
    int64_t now_us, struct core_result *ret)
{
    struct document d;
    size_t ready_to_form = 0;
    *ret = (struct core_result){0};
    const bool other = stored && c->has_known && !streq(stored->cluster, c->known.cluster);
    if (other && stored->generation > 0) {
        snprintf(ret->state, sizeof(ret->state),
            "the shared configuration is another cluster's, this one goes on without it");
        return;
    }
    /* Masters that only wait made it anew when they came to an empty store first. */
    const bool behind = !stored || other ||
                        (c->has_known && stored->generation < c->known.generation);
    if (behind)
        start_from(c, &d);
    else
        d = *stored;
    note(c, &d, now_us);
    if (!behind) {
        ret->action = act(c, &d, local, now_us);
        if (core_self(c, &d)) {
            c->known = d;
            c->has_known = true;
        }
    }
    struct master_record *me = (struct master_record *)(uintptr_t)core_self(c, &d);
    if (me)
        tell_local(me, &d, local);
    else
        me = enlist(c, &d, now_us);
    if (!me) {
        snprintf(ret->state, sizeof(ret->state), "waits, but %d others wait already", WAITING_MAX);
        return;
    }
    me->beat++;
    if (d.generation == 0)
        ready_to_form = form(c, &d, now_us);
    else if (core_self(c, &d) && !behind && ready(c, &d, core_self(c, &d), now_us))
        (void)replace_one(c, &d, now_us);
    ret->write = true;
    ret->document = d;
    describe(c, &d, ready_to_form, now_us, ret);
}
