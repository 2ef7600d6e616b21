#ifndef DCOS_MARATHON_CONSTRAINT_H
#define DCOS_MARATHON_CONSTRAINT_H

/* Placement constraints against the agents that hold the instances placed so far. */

#include <jansson.h>

#include "base/buf.h"
#include "json/json.h"
#include "marathon/regex.h"

enum { CONSTRAINTS_MAX = 64 };

enum constraint_op {
    CONSTRAINT_UNIQUE,
    CONSTRAINT_CLUSTER,
    CONSTRAINT_GROUP_BY,
    CONSTRAINT_LIKE,
    CONSTRAINT_MAX_PER,
    CONSTRAINT_UNLIKE,
    CONSTRAINT_IS,
};

struct constraint {
    char *field;
    enum constraint_op op;
    char *value;    /* NULL = none */
    int64_t number; /* of GROUP_BY (0 = not given) and MAX_PER */
    struct regex *regex;
};

/* What constraints see of an agent. Attributes are [{"name":..,"text":..}]. */
struct place {
    const char *hostname, *region, *zone; /* region and zone may be NULL */
    const json_t *attributes;
};

/* [field, operator, value?], checked by constraint_check() before. -EINVAL. */
int constraint_read(const json_t *json, struct constraint *ret, struct error *err);
void constraint_done(struct constraint *c);
/* Value of the field at a place; NULL when it has none. */
const char *place_value(const struct place *p, const char *field);
/* Would one more instance at `at` fit, given where the others are? `wanted` is the number of
 * instances that the spec of the first placed one asks for. */
bool constraint_matches(const struct constraint *c, const struct place *at,
    const struct place *const *placed, size_t n_placed, int32_t wanted);
/* Mesos' text of a scalar: at most three decimals, no trailing zeros. */
void constraint_scalar_text(double value, struct buf *out);

#endif
