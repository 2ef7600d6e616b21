#ifndef DCOS_MARATHON_VIOLATION_H
#define DCOS_MARATHON_VIOLATION_H

/* What is wrong with a definition: messages grouped by path, in the order they were found. */

#include "base/buf.h"
#include "base/map.h"
#include "json/writer.h"

enum { VIOLATIONS_MAX = 200 }; /* more are counted, not kept */

struct violation {
    char *path;
    char *message;
};

struct violations {
    struct violation *items;
    size_t n, cap;
};

void violations_done(struct violations *v);
void violation_add(struct violations *v, const char *path, const char *fmt, ...) _printf_(3, 4);
bool violations_has(const struct violations *v, const char *path, const char *message);
/* [{"path":..,"errors":[..]},..] */
void violations_write(const struct violations *v, struct json_writer *w);

#define _cleanup_violations_ _cleanup_(violations_done)

#endif
