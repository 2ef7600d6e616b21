#ifndef DCOS_BASE_HEAP_H
#define DCOS_BASE_HEAP_H

/* Binary min-heap of nodes embedded in their owners, ordered by (key, insertion). */

#include "base/macro.h"

struct heap_node {
    int64_t key;
    uint64_t seq; /* breaks ties, so that order is defined */
    size_t pos;   /* 0 = not in a heap */
};

struct heap {
    struct heap_node **nodes; /* from index 1 */
    size_t n, cap;
    uint64_t next_seq;
};

void heap_done(struct heap *h); /* frees the heap, not the owners of the nodes */
void heap_push(struct heap *h, struct heap_node *node, int64_t key);
/* Does nothing when the node is in no heap. */
void heap_remove(struct heap *h, struct heap_node *node);

static inline struct heap_node *heap_min(const struct heap *h)
{
    return h->n ? h->nodes[1] : NULL;
}

static inline bool heap_contains(const struct heap_node *node)
{
    return node->pos != 0;
}

#endif
