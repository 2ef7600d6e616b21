#ifndef DCOS_GEN_CLOUD_INTERNAL_H
#define DCOS_GEN_CLOUD_INTERNAL_H

/* Between the files that make templates of clouds. */

#include "gen/cloud.h"

/* One line of a page with buttons. */
struct cloud_button {
    char *label; /* "3 masters" */
    char *path;  /* of the template, below the address */
};

/* The page: for AWS a column for each region. Buttons open the cloud's console with the template at
 * url/path. */
void cloud_page(enum cloud_kind kind, const char *version, const char *url,
    const struct cloud_button *buttons, size_t n, struct buf *out);

#endif
