#ifndef DCOS_EXHIBITOR_DOCUMENT_H
#define DCOS_EXHIBITOR_DOCUMENT_H

/*
 * The shared configuration: what the masters of one cluster know of each other, one JSON document
 * in a store that all of them reach.
 *
 *     {"version": 1, "cluster": "<32 hex digits>", "generation": 2, "next_id": 5,
 *      "members": [{"id": 1, "address": "10.0.0.1", "token": "...", "beat": 17, "joined": 1,
 *                   "applied": 2, "serving": true, "sees": [1, 2]}, ...],
 *      "waiting": [{"address": "10.0.0.9", "token": "...", "beat": 3}]}
 *
 * The members are the servers of the ensemble in this generation, sorted by id. Each change of them
 * makes a new generation, and an id is not given twice (after 255 the smallest free one is).
 */

#include "base/buf.h"
#include "base/error.h"

enum {
    MASTERS_MAX = 9,
    WAITING_MAX = 32,
    SERVER_ID_MAX = 255, /* what ZooKeeper allows */
    MASTER_ADDRESS_MAX = 16,
    MASTER_TOKEN_MAX = 33, /* 32 hex digits */
    DOCUMENT_MAX = 64 * 1024,
    ENSEMBLE_TEXT_MAX = 256,
};

struct master_record {
    uint32_t id; /* 0 while it waits */
    char address[MASTER_ADDRESS_MAX];
    char token[MASTER_TOKEN_MAX]; /* of its folder for state: another disk is another master */
    uint64_t beat;                /* grows while its daemon lives */
    uint64_t joined;              /* the generation that it came with */
    uint64_t applied;             /* the generation that its ZooKeeper runs with */
    bool serving;
    uint32_t sees[MASTERS_MAX]; /* ids of members whose ZooKeeper answers it */
    size_t n_sees;
};

struct document {
    char cluster[MASTER_TOKEN_MAX];
    uint64_t generation; /* 0: there is no ensemble yet */
    uint32_t next_id;
    struct master_record members[MASTERS_MAX];
    size_t n_members;
    struct master_record waiting[WAITING_MAX];
    size_t n_waiting;
};

/* -EBADMSG for what is none, -EPROTO for a version that is newer than this program. */
int document_parse(const char *p, size_t n, struct document *ret, struct error *err);
void document_write(const struct document *d, struct buf *ret);
/* "1:10.0.0.1,2:10.0.0.2", as in EXHIBITOR_STATICENSEMBLE. */
void document_ensemble(const struct document *d, char ret[static ENSEMBLE_TEXT_MAX]);
/* The other way: a document of generation 1. -EINVAL. */
int document_of_ensemble(const char *text, struct document *ret, struct error *err);
bool master_address_valid(const char *text); /* IPv4 */

#endif
