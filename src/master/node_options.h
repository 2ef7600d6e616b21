#ifndef DCOS_MASTER_NODE_OPTIONS_H
#define DCOS_MASTER_NODE_OPTIONS_H

/* Options about agents whose texts have forms of their own. -EINVAL says what is wrong with them.
 */

#include "base/error.h"

/* "1/10mins", "3/hrs"-like rates: microseconds between two removals. */
int removal_rate_parse(const char *text, int64_t *ret_interval_us, struct error *err);
/* "75%": 0 to 100. */
int percent_parse(const char *text, unsigned *ret, struct error *err);

#endif
