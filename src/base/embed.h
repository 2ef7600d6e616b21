#ifndef DCOS_BASE_EMBED_H
#define DCOS_BASE_EMBED_H

/* Files that scripts/embed.py put into a program. */

#include <stddef.h>

struct embedded {
    const char *name; /* NULL at the end of an array */
    const char *text;
};

#endif
