#ifndef DCOS_MARATHON_SCHEMA_H
#define DCOS_MARATHON_SCHEMA_H

/*
 * Types and simple limits of request bodies, by table. Reading copies the known fields of a
 * document in the order of the table (unknown ones are dropped, null counts as absent), turns
 * numbers into the declared kind, fills nested defaults, and reports what does not fit with the
 * error keys of Marathon's JSON reader ("error.expected.jsstring", "error.min", ...).
 */

#include <jansson.h>

#include "marathon/violation.h"

enum schema_kind {
    SCHEMA_STRING,
    SCHEMA_INT,
    SCHEMA_NUMBER,
    SCHEMA_BOOL,
    SCHEMA_ENUM,   /* string out of `enums` */
    SCHEMA_OBJECT, /* `fields` */
    SCHEMA_ARRAY,  /* of `items` */
    SCHEMA_MAP,    /* object with free keys, values are `items` */
    SCHEMA_CUSTOM, /* `custom` reads it */
};

struct schema;
struct schema_field {
    const char *name;
    const struct schema *type;
    bool required;
    const char *def; /* JSON text put in when the field is absent */
};

/* Returns a new tree or NULL after adding violations. */
typedef json_t *(*schema_custom)(const json_t *in, const char *path, struct violations *violations);

struct schema {
    enum schema_kind kind;
    const struct schema_field *fields;
    size_t n_fields;
    const struct schema *items;
    const char *const *enums; /* NULL-terminated, canonical spellings */
    bool enum_any_case;
    bool has_min, has_max;
    double min, max;                 /* numbers */
    size_t min_length, max_length;   /* strings, arrays; 0 = no limit */
    bool (*match)(const char *text); /* strings: else error.pattern */
    schema_custom custom;
};

/* NULL when the value as a whole cannot be used. Violations may have been added in either case. */
json_t *schema_read(
    const struct schema *s, const json_t *in, const char *path, struct violations *violations);

/* A string that may hold the name pattern ^[a-z0-9]([-a-z0-9]*[a-z0-9])?$ */
bool schema_match_name(const char *text);

#endif
