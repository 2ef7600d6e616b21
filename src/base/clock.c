#include "base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "base/parse.h"

static int64_t read_clock(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return ts.tv_sec * USEC_PER_SEC + ts.tv_nsec / NSEC_PER_USEC;
}

int64_t clock_realtime_us(void)
{
    return read_clock(CLOCK_REALTIME);
}

int64_t clock_monotonic_us(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

int64_t clock_boottime_us(void)
{
    return read_clock(CLOCK_BOOTTIME);
}

void time_format_rfc3339(int64_t us, char ret[TIME_TEXT_SIZE])
{
    us = MIN(MAX(us, 0), INT64_C(253402300799) * USEC_PER_SEC);
    time_t secs = us / USEC_PER_SEC;
    struct tm tm;
    gmtime_r(&secs, &tm);
    size_t n = strftime(ret, TIME_TEXT_SIZE, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(ret + n, TIME_TEXT_SIZE - n, ".%03dZ", (int)(us % USEC_PER_SEC / USEC_PER_MSEC));
}

/* Reads exactly n digits at text[*pos]. */
static int digits(struct str text, size_t *pos, size_t n, int *ret)
{
    int v = 0;
    if (text.n - MIN(*pos, text.n) < n)
        return -EINVAL;
    for (size_t i = 0; i < n; i++) {
        char c = text.p[*pos + i];
        if (c < '0' || c > '9')
            return -EINVAL;
        v = v * 10 + (c - '0');
    }
    *pos += n;
    *ret = v;
    return 0;
}

static int literal(struct str text, size_t *pos, const char *any_of)
{
    if (*pos >= text.n || !text.p[*pos] || !strchr(any_of, text.p[*pos]))
        return -EINVAL;
    (*pos)++;
    return 0;
}

int time_parse_rfc3339(struct str text, int64_t *ret_us)
{
    struct tm tm = {0};
    size_t pos = 0;
    if (digits(text, &pos, 4, &tm.tm_year) < 0 || literal(text, &pos, "-") < 0 ||
        digits(text, &pos, 2, &tm.tm_mon) < 0 || literal(text, &pos, "-") < 0 ||
        digits(text, &pos, 2, &tm.tm_mday) < 0 || literal(text, &pos, "Tt ") < 0 ||
        digits(text, &pos, 2, &tm.tm_hour) < 0 || literal(text, &pos, ":") < 0 ||
        digits(text, &pos, 2, &tm.tm_min) < 0 || literal(text, &pos, ":") < 0 ||
        digits(text, &pos, 2, &tm.tm_sec) < 0)
        return -EINVAL;
    if (tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1 || tm.tm_mday > 31 || tm.tm_hour > 23 ||
        tm.tm_min > 59 || tm.tm_sec > 60)
        return -EINVAL;
    int64_t frac = 0;
    if (pos < text.n && text.p[pos] == '.') {
        pos++;
        int64_t unit = USEC_PER_SEC / 10;
        size_t start = pos;
        for (int d; digits(text, &pos, 1, &d) == 0; unit /= 10)
            frac += d * unit;
        if (pos == start)
            return -EINVAL;
    }
    int64_t offset = 0;
    if (literal(text, &pos, "Zz") < 0) {
        int hours, minutes;
        if (literal(text, &pos, "+-") < 0)
            return -EINVAL;
        bool west = text.p[pos - 1] == '-';
        if (digits(text, &pos, 2, &hours) < 0)
            return -EINVAL;
        (void)literal(text, &pos, ":"); /* "+0100" is common enough to accept */
        if (digits(text, &pos, 2, &minutes) < 0)
            return -EINVAL;
        offset = (hours * 60 + minutes) * INT64_C(60);
        if (west)
            offset = -offset;
    }
    if (pos != text.n)
        return -EINVAL;
    int day = tm.tm_mday;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    int64_t secs = timegm(&tm);
    if (tm.tm_mday != day) /* 31 April and the like were normalised away */
        return -EINVAL;
    *ret_us = (secs - offset) * USEC_PER_SEC + frac;
    return 0;
}

static const struct {
    const char *name;
    double us;
} g_units[] = {
    {"weeks", 7 * 86400e6},
    {"days", 86400e6},
    {"hrs", 3600e6},
    {"mins", 60e6},
    {"secs", 1e6},
    {"ms", 1e3},
    {"us", 1},
    {"ns", 1e-3},
};

int duration_parse(struct str text, int64_t *ret_us)
{
    size_t i = 0;
    while (i < text.n && (strchr("+-.eE", text.p[i]) || (text.p[i] >= '0' && text.p[i] <= '9')))
        i++;
    double value;
    int r = parse_double((struct str){text.p, i}, &value);
    if (r < 0)
        return r;
    struct str unit = {text.p + i, text.n - i};
    for (size_t u = 0; u < ARRAY_SIZE(g_units); u++) {
        if (!str_eq_c(unit, g_units[u].name))
            continue;
        double us = value * g_units[u].us;
        if (us < -9.2e18 || us > 9.2e18)
            return -ERANGE;
        *ret_us = (int64_t)(us < 0 ? us - 0.5 : us + 0.5);
        return 0;
    }
    return -EINVAL;
}

void duration_format(int64_t us, char ret[DURATION_TEXT_SIZE])
{
    for (size_t u = 0; u < ARRAY_SIZE(g_units) - 1; u++) {
        int64_t unit = (int64_t)g_units[u].us;
        if (us != 0 && us % unit == 0) {
            snprintf(ret, DURATION_TEXT_SIZE, "%lld%s", (long long)(us / unit), g_units[u].name);
            return;
        }
    }
    snprintf(ret, DURATION_TEXT_SIZE, "0ns");
}
