#ifndef DCOS_EXHIBITOR_CORE_H
#define DCOS_EXHIBITOR_CORE_H

/*
 * How masters become an ensemble, and how one takes the place of another. No I/O, no clock: each
 * step gets what is stored and what runs here, and says what is to be stored and done.
 *
 * Forming. Masters register and wait. When as many as the cluster has are alive, one of them stores
 * generation 1 with all of them, and each starts its ZooKeeper with that.
 *
 * Replacing. A member counts as out when its record has not moved for `dead_us` and its ZooKeeper
 * answers no member that is alive. Or when another machine has come up with its address. Then, with
 * somebody waiting, with all other members alive, serving and in this generation, a member that
 * serves stores the next generation: the one that is out is replaced by the one that waits, under a
 * new id. Never two at once, since the next change needs all to have made the last.
 *
 * Making a change. First the members that stay, one after the other by id, each when those before
 * it serve again and the rest still do. Only when all of them have does the new one start. A quorum
 * of the old members and one of the new without the new one have a member in common, and once all
 * have changed nobody takes the old one's vote any more; so whatever comes back when, what was
 * acknowledged is known to each quorum. Members that are out as well are not waited for, unless
 * they would be a quorum of the old list together with the one that was replaced.
 *
 * Whether a record moves is watched by each master with its own clock, so clocks need not agree.
 */

#include "exhibitor/document.h"

struct core_options {
    uint32_t masters; /* that make an ensemble */
    int64_t fresh_us; /* a record that moved in this time is of somebody alive */
    int64_t dead_us;  /* one that did not in this time is of somebody dead */
    char address[MASTER_ADDRESS_MAX];
    char token[MASTER_TOKEN_MAX];
    char cluster[MASTER_TOKEN_MAX]; /* drawn; the name of a cluster that this master makes */
};

/* What runs on this machine. */
struct core_local {
    char wanted[ENSEMBLE_TEXT_MAX];  /* the ensemble that ZooKeeper is started with; may be empty */
    char running[ENSEMBLE_TEXT_MAX]; /* the one that the running process has; "" = none runs */
    bool serving;
    uint32_t sees[MASTERS_MAX]; /* members of the stored document that answer */
    size_t n_sees;
};

enum core_action {
    CORE_NOTHING,
    CORE_APPLY, /* make the stored members the wanted ensemble, end the process that has another */
    CORE_LEAVE, /* want none, end the process */
};

struct core_result {
    bool write; /* store `document` in place of what was read */
    struct document document;
    enum core_action action; /* follows from what was read, not from what is to be written */
    bool settled;            /* nothing is under way */
    char state[160];         /* for people */
};

struct core_seen {
    char address[MASTER_ADDRESS_MAX], token[MASTER_TOKEN_MAX];
    uint64_t beat;
    int64_t since_us; /* when it changed last, or was seen first */
    bool moved;       /* it changed while watched */
};

struct core {
    struct core_options options;
    struct document known; /* the last one that this master was a member in */
    bool has_known;
    struct core_seen seen[MASTERS_MAX + WAITING_MAX];
    size_t n_seen;
};

/* `known` may be NULL. */
void core_init(struct core *c, const struct core_options *options, const struct document *known);
/* `stored` is NULL when there is nothing in the store. When writing fails since somebody else wrote
 * first, read again and make another step. Afterwards c->known is to be kept if it changed. */
void core_step(struct core *c, const struct document *stored, const struct core_local *local,
    int64_t now_us, struct core_result *ret);
/* This master among the members, or NULL. */
const struct master_record *core_self(const struct core *c, const struct document *d);

#endif
