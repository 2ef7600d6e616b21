#include "base/base64.h"

#include <errno.h>

static const char g_alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(struct buf *out, const void *p, size_t n)
{
    const unsigned char *in = p;
    char *to = buf_reserve(out, (n + 2) / 3 * 4);
    if (!to)
        return;
    char *start = to;
    for (; n >= 3; n -= 3, in += 3) {
        *to++ = g_alphabet[in[0] >> 2];
        *to++ = g_alphabet[(in[0] & 3) << 4 | in[1] >> 4];
        *to++ = g_alphabet[(in[1] & 15) << 2 | in[2] >> 6];
        *to++ = g_alphabet[in[2] & 63];
    }
    if (n) {
        unsigned second = n == 2 ? in[1] : 0;
        *to++ = g_alphabet[in[0] >> 2];
        *to++ = g_alphabet[(in[0] & 3) << 4 | second >> 4];
        *to++ = n == 2 ? g_alphabet[(second & 15) << 2] : '=';
        *to++ = '=';
    }
    buf_commit(out, (size_t)(to - start));
}

static int value_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Leaves the buffer as it was: the bytes written so far covered its terminator. */
static int refuse(struct buf *out)
{
    out->p[out->n] = '\0';
    return -EINVAL;
}

int base64_decode(struct buf *out, struct str text)
{
    if (text.n % 4)
        return -EINVAL;
    if (text.n == 0)
        return 0;
    size_t pad = text.p[text.n - 1] != '=' ? 0 : text.p[text.n - 2] != '=' ? 1 : 2;
    char *to = buf_reserve(out, text.n / 4 * 3);
    if (!to)
        return -EINVAL;
    size_t produced = 0;
    for (size_t i = 0; i < text.n; i += 4) {
        uint32_t group = 0;
        for (size_t k = 0; k < 4; k++) {
            bool padding = i + k >= text.n - pad;
            int v = padding ? 0 : value_of(text.p[i + k]);
            if (v < 0)
                return refuse(out);
            group = group << 6 | (uint32_t)v;
        }
        to[produced++] = (char)(group >> 16);
        to[produced++] = (char)(group >> 8);
        to[produced++] = (char)group;
    }
    /* Bits beyond the last byte must be zero, so that each value has one spelling. */
    if ((pad && to[produced - 1]) || (pad == 2 && to[produced - 2]))
        return refuse(out);
    buf_commit(out, produced - pad);
    return 0;
}
