#ifndef DCOS_PKGPANDA_NAMES_H
#define DCOS_PKGPANDA_NAMES_H

/* Lists of strings that own their elements. A zero-initialised struct is empty. */

#include "base/vec.h"

struct strings {
    char **items;
    size_t n, cap;
};

void strings_done(struct strings *s);
void strings_add(struct strings *s, const char *text); /* copies */
bool strings_has(const struct strings *s, const char *text);
void strings_sort(struct strings *s); /* by bytes; equal ones become one */
/* The elements with ", " between. Caller frees. */
char *strings_join(const struct strings *s);
#define _cleanup_strings_ _cleanup_(strings_done)

/* Names in a folder but "." and "..", sorted. A folder that is not there gives 0 and no names. */
struct error;
int strings_read_folder(const char *path, struct strings *ret, struct error *err);

#endif
