#include "base/parse.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

enum { NUMBER_TEXT_MAX = 400 };

int parse_u64(struct str text, uint64_t *ret)
{
    uint64_t v = 0;
    if (text.n == 0)
        return -EINVAL;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] < '0' || text.p[i] > '9')
            return -EINVAL;
        if (__builtin_mul_overflow(v, (uint64_t)10, &v) ||
            __builtin_add_overflow(v, (uint64_t)(text.p[i] - '0'), &v))
            return -ERANGE;
    }
    *ret = v;
    return 0;
}

int parse_i64(struct str text, int64_t *ret)
{
    bool negative = text.n && text.p[0] == '-';
    if (text.n && (text.p[0] == '-' || text.p[0] == '+'))
        text = (struct str){text.p + 1, text.n - 1};
    uint64_t v;
    int r = parse_u64(text, &v);
    if (r < 0)
        return r;
    if (v > (uint64_t)INT64_MAX + negative)
        return -ERANGE;
    *ret = negative ? (int64_t)-v : (int64_t)v;
    return 0;
}

int parse_u32(struct str text, uint32_t *ret)
{
    uint64_t v;
    int r = parse_u64(text, &v);
    if (r < 0)
        return r;
    if (v > UINT32_MAX)
        return -ERANGE;
    *ret = (uint32_t)v;
    return 0;
}

int parse_port(struct str text, uint16_t *ret)
{
    uint64_t v;
    int r = parse_u64(text, &v);
    if (r < 0)
        return r;
    if (v > UINT16_MAX)
        return -ERANGE;
    *ret = (uint16_t)v;
    return 0;
}

int parse_double(struct str text, double *ret)
{
    char tmp[NUMBER_TEXT_MAX];
    if (text.n == 0 || text.n >= sizeof(tmp))
        return -EINVAL;
    for (size_t i = 0; i < text.n; i++)
        if (!strchr("+-.eE0123456789", text.p[i]) || !text.p[i])
            return -EINVAL;
    memcpy(tmp, text.p, text.n);
    tmp[text.n] = '\0';
    char *end;
    errno = 0;
    double v = strtod(tmp, &end);
    if (end != tmp + text.n)
        return -EINVAL;
    if (!isfinite(v))
        return -ERANGE;
    *ret = v;
    return 0;
}

int parse_bool(struct str text, bool *ret)
{
    if (str_eq_c(text, "true"))
        *ret = true;
    else if (str_eq_c(text, "false"))
        *ret = false;
    else
        return -EINVAL;
    return 0;
}

int parse_bytes(struct str text, uint64_t *ret)
{
    static const struct {
        const char *suffix;
        int shift;
    } units[] = {{"TB", 40}, {"GB", 30}, {"MB", 20}, {"KB", 10}, {"B", 0}, {"", 0}};
    for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
        struct str suffix = str_of(units[i].suffix);
        if (!str_has_suffix(text, suffix))
            continue;
        uint64_t v;
        int r = parse_u64((struct str){text.p, text.n - suffix.n}, &v);
        if (r < 0)
            return r;
        if (__builtin_mul_overflow(v, UINT64_C(1) << units[i].shift, &v))
            return -ERANGE;
        *ret = v;
        return 0;
    }
    return -EINVAL;
}
