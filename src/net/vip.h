#ifndef DCOS_NET_VIP_H
#define DCOS_NET_VIP_H

/*
 * Virtual addresses: which there are, at which address, and who is behind them. Deterministic.
 *
 * A named one has an address out of 11.0.0.0/8, found by hash of its name, and where it has
 * backends with IPv6 addresses another one out of fd01:c::/64. Two names that hash to the same
 * place are put in the order of their names, whichever came first: so every node finds the same
 * addresses without asking the others.
 *
 * Everything here is of one family: a name with backends of both is two virtual addresses.
 */

#include "net/core.h"

enum {
    VIP_BACKENDS_MAX = 4096, /* of one; more are left out */
    VIP_BASE = 0x0b000000,   /* 11.0.0.0 */
    VIP_LAST = 0x0bffffff,
};

enum vip_protocol { VIP_TCP = 6, VIP_UDP = 17 };

struct vip_backend {
    struct address ip;
    uint16_t port;
    uint32_t serving, idle, unreachable; /* how many tasks give it: weight 1, weight 0, or away */
};

struct vip_name {
    char *key;  /* the name for IPv4, with "/6" behind it for IPv6 */
    char *name; /* "<text>.<framework>", by the label rule */
    struct address ip;
    bool placed;
    uint32_t refs;
    struct gifts gifts;
};

struct vip {
    char *key; /* "tcp/<name or address>:<port>", "tcp6/..." for IPv6 */
    enum vip_protocol protocol;
    struct vip_name *name; /* NULL: by address */
    struct address ip;
    uint16_t port;
    uint32_t id;                      /* never used again for another */
    VEC(struct vip_backend) backends; /* in order of address and port */
    bool changed;
};

struct vip_target {
    struct address ip;
    uint16_t port;
};

/* A flow that has to end: to this address, by way of this backend. */
struct vip_cut {
    enum vip_protocol protocol;
    struct address ip, backend;
    uint16_t port, backend_port;
};

struct vips;
struct vips *vips_new(struct names *names);
void vips_free(struct vips *v);
DEFINE_CLEANUP(struct vips *, vips_free)
/* As net_core_on_task wants it. */
void vips_on_task(void *vips, struct net_task *t, const char *framework, bool gone);
const struct map *vips_all(const struct vips *v);   /* key -> struct vip */
const struct map *vips_names(const struct vips *v); /* key -> struct vip_name */
/* The same name, protocol and port with addresses of the other family, or NULL. */
const struct vip *vip_twin(const struct vips *v, const struct vip *vip);
uint64_t vips_version(const struct vips *v);
uint64_t vips_ignored(const struct vips *v); /* labels that say nothing that can be served */

/* Who gets new connections: those that serve and are reachable, or all that serve when none of them
 * is. Fills up to max, returns how many there are. */
size_t vip_targets(const struct vip *v, struct vip_target *ret, size_t max);

/* ---- for the kernel ---- */
/* One that is not there any more, or not at this address. */
struct vip_gone {
    uint32_t id;
    struct address ip;
    enum vip_protocol protocol;
    uint16_t port;
    bool last; /* no other one has its address */
};
/* Fills in what changed since the last call and forgets it. The vectors are the caller's, and
 * appended to; those of `gone` come before what is changed. */
struct vip_changes {
    VEC(struct vip *) changed;
    VEC(struct vip_gone) gone;
    VEC(struct vip_cut) cuts;
};
bool vips_changed(const struct vips *v);
void vips_take(struct vips *v, struct vip_changes *ret);
void vip_changes_done(struct vip_changes *c);

/* ---- vip_place.c ---- */
/* The address that a name has where it meets no other, and the one after that. */
void vip_first(const char *name, bool v6, struct address *ret);
void vip_next(struct address *a);

/* ---- phash2.c ---- */
/* Erlang's portable hash of a binary, modulo range; what dcos-net places addresses by. */
uint32_t phash2(const void *p, size_t n, uint32_t range);

/* ---- nft_text.c: the same as commands of nft, one transaction on one line ---- */
/* Everything from nothing; replaces a table that is there. */
void nft_text_all(const struct vips *v, struct buf *out);
/* What changed; nothing when nothing did. */
void nft_text_changes(const struct vip_changes *c, struct buf *out);
#define NFT_TABLE "dcos_l4lb"
#define VIP_NETWORK "11.0.0.0/8"
#define VIP_NETWORK6 "fd01:c::/64"

#endif
