#ifndef DCOS_BASE_LIST_H
#define DCOS_BASE_LIST_H

/* Intrusive doubly linked list: a ring through a head. Nodes live inside the owner's struct. */

#include "base/macro.h"

struct list {
    struct list *prev, *next;
};

static inline void list_init(struct list *l)
{
    l->prev = l->next = l;
}

static inline bool list_empty(const struct list *head)
{
    return head->next == head;
}

static inline void list_insert_before(struct list *pos, struct list *node)
{
    node->prev = pos->prev;
    node->next = pos;
    pos->prev->next = node;
    pos->prev = node;
}

/* Appends at the tail of the list that starts at head. */
static inline void list_push(struct list *head, struct list *node)
{
    list_insert_before(head, node);
}

static inline void list_push_front(struct list *head, struct list *node)
{
    list_insert_before(head->next, node);
}

/* Safe to call twice: a removed node is a ring of its own. The node must have been initialised. */
static inline void list_remove(struct list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}

/* Moves all of `from` to the tail of `head`; `from` is empty afterwards. */
static inline void list_splice(struct list *head, struct list *from)
{
    if (list_empty(from))
        return;
    from->next->prev = head->prev;
    head->prev->next = from->next;
    from->prev->next = head;
    head->prev = from->prev;
    list_init(from);
}

#define list_entry(node, type, member) container_of(node, type, member)
#define list_first(head, type, member)                                                             \
    (list_empty(head) ? NULL : list_entry((head)->next, type, member))

#define LIST_FOREACH(var, head, type, member)                                                      \
    for (type *var = list_entry((head)->next, type, member); &var->member != (head);               \
         var = list_entry(var->member.next, type, member))

/* The body may remove (and free) `var`, but not the entry after it. */
#define LIST_FOREACH_SAFE(var, head, type, member)                                                 \
    for (type *var = list_entry((head)->next, type, member),                                       \
              *var##_next = list_entry(var->member.next, type, member);                            \
         &var->member != (head);                                                                   \
         var = var##_next, var##_next = list_entry(var##_next->member.next, type, member))

#endif
