#ifndef DCOS_MARATHON_REGEX_H
#define DCOS_MARATHON_REGEX_H

/* Patterns that users give (LIKE, UNLIKE), with limits on what a match may cost. */

#include "base/error.h"

enum { REGEX_PATTERN_MAX = 4096 };

struct regex;
/* -EINVAL with the reason. */
int regex_new(const char *pattern, struct regex **ret, struct error *err);
void regex_free(struct regex *r);
/* Whole text must match. A match that exceeds its limits counts as none. */
bool regex_full_match(const struct regex *r, const char *text);
DEFINE_CLEANUP(struct regex *, regex_free)

#endif
