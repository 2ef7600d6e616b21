#ifndef DCOS_NET_NAME_H
#define DCOS_NET_NAME_H

/*
 * Names as text: lower case, labels joined by dots, no dot at the end. Bytes of a label that are no
 * printable ASCII, and dots and backslashes in it, are written \DDD.
 */

#include "base/buf.h"

enum {
    NAME_WIRE_MAX = 255, /* bytes on the wire */
    NAME_LABEL_MAX = 63,
    NAME_TEXT_MAX = 1024,  /* with escapes and NUL */
    LABEL_RFC952_MAX = 24, /* mesos-dns' option */
};

/*
 * The label rule of DC/OS: upper to lower case; letters, digits stay; "-", "_" and "." become "-";
 * all else goes; no dashes at the ends; 63 characters. Where the cut leaves dashes at the end they
 * go too, and what follows fills the room. `strict` is RFC 952: 24 characters, no digits in front.
 * Appends to out; nothing when nothing is left.
 */
void name_label(struct str text, bool strict, struct buf *out);
/* The rule for each piece between dots; empty pieces go. */
void name_fragment(struct str text, bool strict, struct buf *out);

/* Whether the text can be a name: labels of 1 to 63 bytes, 253 in all. */
bool name_valid(struct str text);
/* Whether `name` is `zone` or below it. "" holds everything. */
bool name_within(struct str name, struct str zone);

/* First n characters (up to 32) of zbase32 of the SHA-1 of the text, and a NUL. */
void name_hash(struct str text, size_t n, char *ret);

#endif
