#ifndef DCOS_NET_NFT_H
#define DCOS_NET_NFT_H

/*
 * Keeps the kernel's table as the virtual addresses are, through one long-lived `nft -i`: a
 * transaction is one line, taken whole or not at all. When nft refuses, dies or is missing, the
 * table stays as it was, what is wrong is told, and the whole table is written again after a pause.
 * Flows to backends that are gone are ended once the kernel has the new rules.
 *
 * When somebody else changes or removes the table, the kernel says so and the whole table is
 * written again: at once, and after a growing pause where it happens again and again.
 *
 * The table outlives the daemon: connections go on while it is replaced.
 */

#include "io/loop.h"
#include "net/vip.h"

struct nft;
struct nft_status {
    bool in_force;     /* the kernel has what we want, or will once the line under way is read */
    const char *error; /* why not; "" */
    uint64_t transactions, failures, flows_cut, restored;
    int64_t last_us; /* how long the last transaction took */
};
struct nft *nft_new(struct loop *l, const char *program, struct vips *v);
void nft_free(struct nft *n);
/* Something may have changed: written soon, with all that changes in this turn of the loop. */
void nft_wake(struct nft *n);
void nft_get_status(const struct nft *n, struct nft_status *ret);

/* ---- nft_watch.c ---- */
/* Watches for changes of our table, whoever makes them. fn on the loop when there may be some. */
struct nft_watch;
int nft_watch_new(
    struct loop *l, void (*fn)(void *userdata), void *userdata, struct nft_watch **ret);
void nft_watch_free(struct nft_watch *w);
/* How many transactions touched our table since the last call; *ret_lost: perhaps more, since there
 * were too many to keep. */
unsigned nft_watch_take(struct nft_watch *w, bool *ret_lost);

/* ---- conntrack.c ---- */
/* Ends flows in the kernel on the pool; `done` on the loop with how many, or a negative errno.
 * Takes over the list. */
struct cutting;
void conntrack_cut(struct loop *l, struct vip_cut *cuts, size_t n,
    void (*done)(int status, void *userdata), void *userdata, struct cutting **ret);
void conntrack_abandon(struct cutting *c); /* done is not called any more */

#endif
