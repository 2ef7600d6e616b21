#include "base/str.h"

#include <errno.h>
#include <pthread.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/rng.h"

bool str_eq(struct str a, struct str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool str_eq_c(struct str a, const char *b)
{
    return str_eq(a, str_of(b));
}

bool str_ieq_c(struct str a, const char *b)
{
    return a.n == strlen(b) && (a.n == 0 || strncasecmp(a.p, b, a.n) == 0);
}

bool str_has_prefix(struct str s, struct str prefix)
{
    return s.n >= prefix.n && str_eq((struct str){s.p, prefix.n}, prefix);
}

bool str_has_suffix(struct str s, struct str suffix)
{
    return s.n >= suffix.n && str_eq((struct str){s.p + s.n - suffix.n, suffix.n}, suffix);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct str str_trim(struct str s)
{
    while (s.n && is_blank(s.p[0])) {
        s.p++;
        s.n--;
    }
    while (s.n && is_blank(s.p[s.n - 1]))
        s.n--;
    return s;
}

ptrdiff_t str_index(struct str s, char c)
{
    const char *hit = s.n ? memchr(s.p, c, s.n) : NULL;
    return hit ? hit - s.p : -1;
}

bool str_split(struct str *rest, char sep, struct str *ret)
{
    if (!rest->p)
        return false;
    ptrdiff_t i = str_index(*rest, sep);
    if (i < 0) {
        *ret = *rest;
        *rest = (struct str){NULL, 0};
    } else {
        *ret = (struct str){rest->p, (size_t)i};
        *rest = (struct str){rest->p + i + 1, rest->n - (size_t)i - 1};
    }
    return true;
}

char *str_dup(struct str s)
{
    return xstrndup(s.p, s.n);
}

bool has_prefix(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool has_suffix(const char *s, const char *suffix)
{
    return str_has_suffix(str_of(s), str_of(suffix));
}

static struct {
    pthread_once_t once;
    uint64_t key[2];
} g_hash = {.once = PTHREAD_ONCE_INIT};

static void hash_seed(void)
{
    random_bytes(g_hash.key, sizeof(g_hash.key));
}

static inline uint64_t rotl(uint64_t x, int b)
{
    return (x << b) | (x >> (64 - b));
}

static inline void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotl(v[1], 13) ^ v[0];
    v[0] = rotl(v[0], 32);
    v[2] += v[3];
    v[3] = rotl(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotl(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotl(v[1], 17) ^ v[2];
    v[2] = rotl(v[2], 32);
}

uint64_t str_hash(const void *p, size_t n)
{
    pthread_once(&g_hash.once, hash_seed);
    uint64_t v[4] = {
        g_hash.key[0] ^ 0x736f6d6570736575ull,
        g_hash.key[1] ^ 0x646f72616e646f6dull,
        g_hash.key[0] ^ 0x6c7967656e657261ull,
        g_hash.key[1] ^ 0x7465646279746573ull,
    };
    const unsigned char *in = p;
    uint64_t last = (uint64_t)n << 56;
    for (; n >= 8; n -= 8, in += 8) {
        uint64_t m;
        memcpy(&m, in, 8);
        v[3] ^= m;
        sip_round(v);
        v[0] ^= m;
    }
    for (size_t i = 0; i < n; i++)
        last |= (uint64_t)in[i] << (8 * i);
    v[3] ^= last;
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

void hex_encode(const void *p, size_t n, char *ret)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *in = p;
    for (size_t i = 0; i < n; i++) {
        ret[2 * i] = digits[in[i] >> 4];
        ret[2 * i + 1] = digits[in[i] & 15];
    }
    ret[2 * n] = '\0';
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

int hex_decode(struct str text, void *ret, size_t size)
{
    if (text.n % 2 || text.n / 2 > INT32_MAX)
        return -EINVAL;
    if (text.n / 2 > size)
        return -ENOBUFS;
    unsigned char *out = ret;
    for (size_t i = 0; i < text.n; i += 2) {
        int hi = hex_digit(text.p[i]), lo = hex_digit(text.p[i + 1]);
        if (hi < 0 || lo < 0)
            return -EINVAL;
        out[i / 2] = (unsigned char)(hi << 4 | lo);
    }
    return (int)(text.n / 2);
}
