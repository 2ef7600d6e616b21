#include "master/node_options.h"

#include <errno.h>

#include "base/clock.h"
#include "base/parse.h"

int removal_rate_parse(const char *text, int64_t *ret_interval_us, struct error *err)
{
    struct str rest = str_of(text), permits;
    uint32_t n;
    int64_t period_us;
    if (!str_split(&rest, '/', &permits) || parse_u32(permits, &n) < 0 || n == 0 ||
        duration_parse(rest, &period_us) < 0 || period_us <= 0)
        return error_set(
            err, -EINVAL, "agent_removal_rate_limit is not of the form 1/10mins: %s", text);
    *ret_interval_us = MAX(period_us / n, 1);
    return 0;
}

int percent_parse(const char *text, unsigned *ret, struct error *err)
{
    struct str number = str_of(text);
    uint32_t n;
    if (!str_has_suffix(number, STR("%")) || (number.n--, parse_u32(number, &n)) < 0 || n > 100)
        return error_set(err, -EINVAL,
            "recovery_agent_removal_limit is not a percentage between 0%% and 100%%: %s", text);
    *ret = n;
    return 0;
}
