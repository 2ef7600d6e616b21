#ifndef DCOS_ROUTER_TABLE_H
#define DCOS_ROUTER_TABLE_H

/*
 * What the daemon tells nginx's workers: tables of rows in files that are mapped and never change.
 *
 * There is a table for each subject (enum table_kind). Publishing writes a file
 * "<folder>/<kind>.<generation>" beside the old one and then stores the generation in the file
 * "<folder>/control", which every worker has mapped; a worker compares that number with its own at
 * each request and maps the new file when they differ. Looking up is a hash and a comparison in the
 * mapped bytes; nothing is parsed or copied. A writer that dies at any instant leaves a table that
 * is whole: the old one or the new one. The files of the last two generations are kept for workers
 * on their way.
 *
 * The folder belongs to one machine and one boot (its bytes are of this machine's order).
 */

#include "base/buf.h"
#include "base/error.h"

enum table_kind {
    TABLE_POLICY, /* "k:<kid>" -> PEM text, "u:<uid>" -> struct policy_row */
    TABLE_ROUTES, /* see below -> struct target */
    TABLE_KINDS,
};

enum {
    TABLE_KEY_MAX = 1024,
    TABLE_VALUE_MAX = 1024 * 1024,
    TABLE_SIZE_MAX = 1024 * 1024 * 1024,
};

/* Bits of a table as a whole. */
enum {
    ROUTES_HAVE_MARATHON = 1u << 0, /* Marathon's services are known */
    ROUTES_HAVE_MESOS = 1u << 1,    /* the master's frameworks and agents are known */
    ROUTES_HAVE_LEADER = 1u << 2,   /* Marathon told who leads it, or that nobody does */
    ROUTES_TRIED_MARATHON =
        1u << 3, /* it was asked: a request need not wait for its first answer */
    ROUTES_TRIED_MESOS = 1u << 4,
};

/*
 * Keys of TABLE_ROUTES:
 *     m:<name>    service by Marathon's labels, the name reversed and joined by dots
 *     i:<id>      framework by id
 *     n:<name>    framework by name, reversed like services
 *     a:<id>      agent
 *     l:mesos, l:marathon     leaders
 */
enum {
    TARGET_TLS = 1u << 0,
    TARGET_KEEP_PREFIX = 1u << 1,  /* the path is passed with /service/<name> */
    TARGET_NO_BUFFERING = 1u << 2, /* of requests */
    TARGET_ASK_DNS = 1u << 3,      /* a framework whose web address is empty: names tell */
    TARGET_CHECKED = 1u << 4,      /* a daemon of the cluster: its certificate is verified */
};
struct target {
    uint32_t flags;
    uint16_t port;  /* 0: not resolved */
    uint8_t family; /* 4 or 6 */
    uint8_t name_n; /* of the text behind: the framework's name for TARGET_ASK_DNS, else a path in
                     * front of the request's */
    uint8_t address[16];
    /* name_n bytes of text follow. */
};
static inline const char *target_text(const struct target *t)
{
    return (const char *)(t + 1);
}

/* Of TABLE_POLICY: resource ids of the router that the user may use fully, each with its NUL. */
struct policy_row {
    int64_t revoked_before_us;
    uint32_t superuser;
    uint32_t n_rids;
    char rids[];
};

/* ---- writing: one process ---- */

struct table_builder {
    struct buf rows;
    uint32_t n;
};
void table_builder_done(struct table_builder *b);
/* A key that is there already: the later row wins. -E2BIG for keys and values over the limits. */
int table_add(struct table_builder *b, const char *key, const void *value, size_t n);

struct table_writer;
/* Opens or makes the folder's control file; what an earlier process published stays in force.
 * Files are readable for their group `gid` (-1: left alone). */
int table_writer_new(const char *folder, int64_t gid, struct table_writer **ret, struct error *err);
void table_writer_free(struct table_writer *w);
/* Publishes and empties the builder. On failure the old table stays in force. */
int table_publish(struct table_writer *w, enum table_kind kind, uint32_t bits,
    struct table_builder *b, struct error *err);
/* Generation in force; 0 = none was published yet. */
uint64_t table_generation(const struct table_writer *w, enum table_kind kind);

/* ---- reading: any number of processes ---- */

struct table_reader;
/* -ENOENT until a writer has made the folder. */
int table_reader_new(const char *folder, struct table_reader **ret, struct error *err);
void table_reader_free(struct table_reader *r);

struct table_view; /* one table, mapped */
/* The table in force, or NULL when there is none yet. Valid until the next call for the same kind:
 * a request must not keep pointers into it. When a new one cannot be mapped the old one stays. */
const struct table_view *table_current(struct table_reader *r, enum table_kind kind);
uint64_t table_view_generation(const struct table_view *v);
uint32_t table_view_bits(const struct table_view *v);
/* Value of the key (8-byte aligned), or NULL. */
const void *table_get(const struct table_view *v, const char *key, size_t key_n, size_t *ret_n);
/* Rows in the order in which they were added; false at the end. Start with *pos = 0. */
bool table_next(
    const struct table_view *v, size_t *pos, struct str *ret_key, struct str *ret_value);

#endif
