/* What is missing in a message. */

#include <errno.h>

#include "wire/type.h"

enum { MISSING_TEXT_MAX = 600 };

/* The way from the root to a message; lives on the stack of the recursion, so that a message that
 * lacks nothing costs no text. */
struct step {
    const struct step *up;
    const struct wire_field *field; /* NULL at the root */
    size_t index;
};

struct missing {
    struct buf names;
    size_t count;
};

static void put_path(struct buf *b, const struct step *at)
{
    if (!at->field)
        return;
    put_path(b, at->up);
    buf_puts(b, at->field->d->name);
    if (at->field->repeated)
        buf_printf(b, "[%zu]", at->index);
    buf_putc(b, '.');
}

static void note(struct missing *missing, const struct step *at, const struct wire_field *f)
{
    if (missing->count++ > 0)
        buf_puts(&missing->names, ", ");
    put_path(&missing->names, at);
    buf_puts(&missing->names, f->d->name);
}

static void check(struct missing *missing, const struct step *at, const ProtobufCMessage *m)
{
    const struct wire_type *t = wire_type_of(m->descriptor);
    if (t->n_required == 0 && !t->has_messages)
        return;
    for (unsigned i = 0; i < t->n_fields; i++) {
        const struct wire_field *f = t->order[i];
        struct step below = {.up = at, .field = f};
        bool message = f->d->type == PROTOBUF_C_TYPE_MESSAGE;
        if (f->repeated && message) {
            ProtobufCMessage **list = *(ProtobufCMessage ***)wire_member(m, f->d);
            size_t n = *wire_count(m, f->d);
            for (; below.index < n; below.index++)
                check(missing, &below, list[below.index]);
        } else if (!f->repeated && f->required && !wire_is_set(m, f)) {
            note(missing, at, f);
        } else if (!f->repeated && message) {
            const ProtobufCMessage *sub = *(ProtobufCMessage **)wire_member(m, f->d);
            if (sub)
                check(missing, &below, sub);
        }
    }
}

int wire_check_required(const ProtobufCMessage *m, struct error *err)
{
    struct missing missing = {.names = BUF_INIT_MAX(MISSING_TEXT_MAX)};
    struct step root = {0};
    check(&missing, &root, m);
    int r = 0;
    if (missing.count > 0)
        r = error_set(err, -EINVAL, "Missing required fields: %s%s", buf_cstr(&missing.names),
            missing.names.overflow ? ", ..." : "");
    buf_done(&missing.names);
    return r;
}
