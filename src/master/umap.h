#ifndef DCOS_MASTER_UMAP_H
#define DCOS_MASTER_UMAP_H

/* Hash map from numbers (not 0) to pointers. Never iterated, so order cannot leak. A
 * zero-initialised struct is empty. */

#include "base/macro.h"

struct umap_slot {
    uint64_t key; /* 0 = empty */
    void *value;
};

struct umap {
    struct umap_slot *slots;
    size_t size; /* power of two */
    size_t n;
};

void umap_done(struct umap *m);
void *umap_get(const struct umap *m, uint64_t key); /* NULL when absent */
void umap_put(struct umap *m, uint64_t key, void *value);
void *umap_remove(struct umap *m, uint64_t key); /* the value that was there, or NULL */

#endif
