#ifndef DCOS_CONSOLE_PRINT_H
#define DCOS_CONSOLE_PRINT_H

/* JSON for people and scripts. */

#include <stdio.h>

#include "json/json.h"

enum {
    PRINT_SORTED = 1u << 0, /* keys by name, not in the document's order */
};

/* Indented by `indent` blanks, with a newline at the end; '<', '>' and '&' as \u003c and so on, as
 * Go's encoder writes them. */
void json_print(const json_t *value, unsigned indent, unsigned flags, FILE *out);
void json_format(const json_t *value, unsigned indent, unsigned flags, struct buf *out);

#endif
