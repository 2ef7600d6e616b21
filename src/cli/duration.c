#include "cli/duration.h"

#include <errno.h>

#include "base/macro.h"

static const struct {
    const char *name;
    int64_t ns;
} units[] = {{"ns", 1}, {"us", 1000}, {"ms", 1000 * 1000}, {"s", INT64_C(1000000000)},
    {"m", 60 * INT64_C(1000000000)}, {"h", 3600 * INT64_C(1000000000)}};

static int64_t unit_of(struct str name)
{
    for (size_t i = 0; i < ARRAY_SIZE(units); i++)
        if (str_eq_c(name, units[i].name))
            return units[i].ns;
    return 0;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* One number with its unit, taken off the front. */
static bool take(struct str *rest, int64_t *sum)
{
    enum { DIGITS_MAX = 15 };
    int64_t whole = 0, fraction = 0, scale = 1;
    size_t i = 0, digits = 0;
    for (; i < rest->n && is_digit(rest->p[i]) && digits < DIGITS_MAX; i++, digits++)
        whole = whole * 10 + (rest->p[i] - '0');
    if (i < rest->n && rest->p[i] == '.') {
        for (i++; i < rest->n && is_digit(rest->p[i]) && scale < INT64_C(1000000000);
             i++, digits++) {
            fraction = fraction * 10 + (rest->p[i] - '0');
            scale *= 10;
        }
    }
    size_t start = i;
    while (i < rest->n && rest->p[i] >= 'a' && rest->p[i] <= 'z')
        i++;
    int64_t unit = unit_of((struct str){rest->p + start, i - start}), ns, part;
    if (digits == 0 || unit == 0 || __builtin_mul_overflow(whole, unit, &ns))
        return false;
    /* Under 2^63: a fraction is less than one, its unit at most an hour. */
    part = (int64_t)((__int128)fraction * unit / scale);
    rest->p += i;
    rest->n -= i;
    return !__builtin_add_overflow(*sum, ns, sum) && !__builtin_add_overflow(*sum, part, sum);
}

int duration_flag_parse(const char *text, int64_t *ret_ns, struct error *err)
{
    struct str rest = str_of(text);
    int64_t sum = 0;
    bool good = rest.n > 0;
    if (str_eq_c(rest, "0"))
        rest.n = 0;
    while (good && rest.n > 0)
        good = take(&rest, &sum);
    if (!good)
        return error_set(
            err, -EINVAL, "invalid duration \"%s\": it looks like 90s, 10m or 1h30m", text);
    *ret_ns = sum;
    return 0;
}
