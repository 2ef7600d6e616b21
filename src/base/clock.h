#ifndef DCOS_BASE_CLOCK_H
#define DCOS_BASE_CLOCK_H

/* Time: points are microseconds since the epoch, durations microseconds, unless a name says else.
 */

#include "base/macro.h"
#include "base/str.h"

#define USEC_PER_MSEC INT64_C(1000)
#define USEC_PER_SEC INT64_C(1000000)
#define NSEC_PER_USEC INT64_C(1000)

enum { TIME_TEXT_SIZE = 32, DURATION_TEXT_SIZE = 48 };

int64_t clock_realtime_us(void);
int64_t clock_monotonic_us(void);
/* Monotonic too, and goes on while the machine is suspended. */
int64_t clock_boottime_us(void);

/* "2026-11-22T17:25:24.123Z", UTC, years 1970 to 9999 (others are clamped). */
void time_format_rfc3339(int64_t us, char ret[TIME_TEXT_SIZE]);
/* Accepts a fraction of any length and "Z" or "+hh:mm". -EINVAL on anything else. */
int time_parse_rfc3339(struct str text, int64_t *ret_us);

/* Durations as Mesos writes them: "10secs", "1.5mins", "100ms"; units ns us ms secs mins hrs days
 * weeks, with no blank between. -EINVAL, or -ERANGE when it does not fit. */
int duration_parse(struct str text, int64_t *ret_us);
/* The largest unit that gives a whole number: "15mins", "90secs". */
void duration_format(int64_t us, char ret[DURATION_TEXT_SIZE]);

#endif
