#ifndef DCOS_GEN_EXPLAIN_H
#define DCOS_GEN_EXPLAIN_H

/* What dcos-gen tells about parameters. */

#include "gen/gen.h"

/* Text about one parameter for people. With a configuration (g may be NULL) also its value and
 * where that is from. -ENOENT for a name that is none. */
int explain_param(const char *name, const struct gen *g, struct buf *out, struct error *err);
/* All parameters that may be in config.yaml, as a table or as JSON. */
void explain_list(bool as_json, struct buf *out);

#endif
