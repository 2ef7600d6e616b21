#include "net/vip.h"

/* Bob Jenkins' hash of 1996, seeded the way Erlang does it for a binary. */

static const uint32_t GOLDEN = 0x9e3779b9;

struct mix {
    uint32_t a, b, c;
};

static void mix(struct mix *m)
{
    static const struct {
        uint8_t c, a, b;
    } shifts[] = {{13, 8, 13}, {12, 16, 5}, {3, 10, 15}};
    for (size_t i = 0; i < ARRAY_SIZE(shifts); i++) {
        m->a = (m->a - m->b - m->c) ^ (m->c >> shifts[i].c);
        m->b = (m->b - m->c - m->a) ^ (m->a << shifts[i].a);
        m->c = (m->c - m->a - m->b) ^ (m->b >> shifts[i].b);
    }
}

static uint32_t word(const uint8_t *p, size_t n)
{
    uint32_t v = 0;
    for (size_t i = 0; i < n && i < 4; i++)
        v |= (uint32_t)p[i] << (8 * i);
    return v;
}

uint32_t phash2(const void *data, size_t n, uint32_t range)
{
    const uint8_t *p = data;
    struct mix m = {GOLDEN, GOLDEN, GOLDEN * 13};
    if (n == 0)
        return m.c % range;
    size_t left = n;
    for (; left >= 12; left -= 12, p += 12) {
        m.a += word(p, 4);
        m.b += word(p + 4, 4);
        m.c += word(p + 8, 4);
        mix(&m);
    }
    m.c += (uint32_t)n;
    m.a += word(p, left);
    if (left > 4)
        m.b += word(p + 4, left - 4);
    if (left > 8)
        m.c += word(p + 8, left - 8) << 8; /* its lowest byte is the length's */
    mix(&m);
    return m.c % range;
}
