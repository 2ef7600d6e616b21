#ifndef DCOS_MKPANDA_UPSTREAM_H
#define DCOS_MKPANDA_UPSTREAM_H

/* The tree that a tree is on top of: see store.h. */

#include "mkpanda/store.h"

#define UPSTREAM_NAME "upstream.json"

/* Checks out what upstream.json names, unless it is there, and sets `upstream` and its lock.
 * Without the file nothing happens. An upstream tree has none of its own: -EINVAL. */
int upstream_open(struct store *s, struct error *err);

#endif
