#include "base/heap.h"

#include "base/alloc.h"

static bool less(const struct heap_node *a, const struct heap_node *b)
{
    return a->key != b->key ? a->key < b->key : a->seq < b->seq;
}

static void place(struct heap *h, size_t i, struct heap_node *node)
{
    h->nodes[i] = node;
    node->pos = i;
}

static void sift_up(struct heap *h, size_t i)
{
    struct heap_node *node = h->nodes[i];
    for (; i > 1 && less(node, h->nodes[i / 2]); i /= 2)
        place(h, i, h->nodes[i / 2]);
    place(h, i, node);
}

static void sift_down(struct heap *h, size_t i)
{
    struct heap_node *node = h->nodes[i];
    for (size_t child; (child = 2 * i) <= h->n; i = child) {
        if (child < h->n && less(h->nodes[child + 1], h->nodes[child]))
            child++;
        if (!less(h->nodes[child], node))
            break;
        place(h, i, h->nodes[child]);
    }
    place(h, i, node);
}

void heap_done(struct heap *h)
{
    free(h->nodes);
    *h = (struct heap){0};
}

void heap_push(struct heap *h, struct heap_node *node, int64_t key)
{
    if (h->n + 2 > h->cap) {
        h->cap = MAX(h->cap * 2, (size_t)16);
        h->nodes = xreallocarray(h->nodes, h->cap, sizeof(struct heap_node *));
    }
    node->key = key;
    node->seq = h->next_seq++;
    place(h, ++h->n, node);
    sift_up(h, h->n);
}

void heap_remove(struct heap *h, struct heap_node *node)
{
    size_t i = node->pos;
    if (!i)
        return;
    node->pos = 0;
    struct heap_node *last = h->nodes[h->n--];
    if (last == node)
        return;
    place(h, i, last);
    sift_up(h, i);
    sift_down(h, last->pos);
}
