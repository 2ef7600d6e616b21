#ifndef DCOS_EXHIBITOR_ASK_H
#define DCOS_EXHIBITOR_ASK_H

/* Asks ZooKeeper servers what they do, all at once, by the four-letter word "srvr". */

#include "exhibitor/document.h"

enum answer {
    ANSWER_NONE,        /* nobody listens, or says nothing in time */
    ANSWER_NOT_SERVING, /* there, without a quorum */
    ANSWER_FOLLOWER,
    ANSWER_LEADER,
    ANSWER_STANDALONE,
};
static inline bool answer_serves(enum answer a)
{
    return a >= ANSWER_FOLLOWER;
}

/* Waits until all have answered, at most timeout_ms. ret[i] is for d->members[i]. */
void ask_members(
    const struct document *d, uint16_t port, int timeout_ms, enum answer ret[static MASTERS_MAX]);
enum answer ask_parse(struct str text);

#endif
