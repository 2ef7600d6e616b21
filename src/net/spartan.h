#ifndef DCOS_NET_SPARTAN_H
#define DCOS_NET_SPARTAN_H

/*
 * The addresses at which every node finds its own name server: 198.51.100.1 to 3 and
 * fd01:d::c633:6401, on an interface `spartan` as in DC/OS.
 *
 * The interface is a dummy; where the kernel has none, a bridge without ports, which costs as
 * little; where it has neither, the addresses are put on `lo`. An interface that bears our mark was
 * left by a process that was killed, and is ours again. One that somebody else made stays, with
 * what it had. IPv6 is left out where the host has it turned off.
 */

#include "base/error.h"
#include "net/names.h"

enum { SPARTAN_ADDRESSES = 4, SPARTAN_PORT = 53 };
#define SPARTAN_INTERFACE "spartan"

struct spartan {
    enum spartan_kind {
        SPARTAN_NONE,
        SPARTAN_OWN, /* the interface is ours */
        SPARTAN_LO,
        SPARTAN_FOREIGN, /* somebody else's interface */
    } kind;
    int index;
    const char *type;                            /* for the log: "dummy", "bridge", "lo", ... */
    struct address addresses[SPARTAN_ADDRESSES]; /* those that are there now */
    bool added[SPARTAN_ADDRESSES];               /* by us */
    size_t n;
};

/* Waits for the kernel's answers, which it gives at once. On failure nothing is left behind. */
int spartan_up(struct spartan *ret, struct error *err);
/* Removes what spartan_up() added; what is gone already counts as removed. */
int spartan_down(struct spartan *s, struct error *err);

#endif
