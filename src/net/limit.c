#include "net/limit.h"

#include <errno.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/parse.h"

int network_parse(struct str text, struct network *ret)
{
    char ip[ADDRESS_TEXT];
    ptrdiff_t slash = str_index(text, '/');
    size_t n = slash < 0 ? text.n : (size_t)slash;
    if (n >= sizeof(ip))
        return -EINVAL;
    memcpy(ip, text.p, n);
    ip[n] = '\0';
    if (address_parse(ip, &ret->base) < 0)
        return -EINVAL;
    ret->bits = ret->base.v6 ? 128 : 32;
    if (slash < 0)
        return 0;
    uint32_t bits;
    if (parse_u32((struct str){text.p + n + 1, text.n - n - 1}, &bits) < 0 || bits > ret->bits)
        return -EINVAL;
    ret->bits = bits;
    return 0;
}

bool network_has(const struct network *n, const struct address *a)
{
    if (n->base.v6 != a->v6)
        return false;
    unsigned whole = n->bits / 8, rest = n->bits % 8;
    if (memcmp(n->base.bytes, a->bytes, whole) != 0)
        return false;
    return rest == 0 || (n->base.bytes[whole] ^ a->bytes[whole]) >> (8 - rest) == 0;
}

enum limit_verdict limit_check(struct limit *l, const struct address *from, int64_t now_us)
{
    uint64_t key = 1;
    for (size_t i = 0; i < (from->v6 ? 7 : 3); i++)
        key = key << 8 | from->bytes[i];
    size_t i = (size_t)(key * UINT64_C(0x9e3779b97f4a7c15) >> 54) % LIMIT_SLOTS;
    typeof(l->slots[0]) *s = &l->slots[i];
    if (s->key != key || now_us - s->from_us >= USEC_PER_SEC) {
        s->key = key;
        s->from_us = now_us;
        s->n = 0;
    }
    if (++s->n <= LIMIT_ANSWERS_PER_SECOND)
        return LIMIT_ANSWER;
    return s->n % 2 ? LIMIT_DROP : LIMIT_TRUNCATE;
}
