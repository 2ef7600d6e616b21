#ifndef DCOS_JSON_JSON_H
#define DCOS_JSON_JSON_H

/*
 * Reading JSON: jansson behind readers that say where a document is wrong.
 *
 * json_parse() gives a tree (jansson's json_t; json.h is the only header that names it, components
 * may use jansson's accessors on it). Numbers keep integers and reals apart. Depth, size and
 * duplicate keys are limited.
 */

#include <jansson.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"

enum { JSON_DEPTH_MAX = 128 };

#define _cleanup_json_ _cleanup_(json_decrefp)

/* Parses one document of any type. -EBADMSG with "line L column C: ..." in err. Caller owns *ret
 * (json_decref). NUL bytes inside strings are refused. */
int json_parse(const char *text, size_t n, json_t **ret, struct error *err);

/*
 * Table-driven field reading. Each field of an object is read to an offset of a struct:
 *
 *     struct point { int64_t x; const char *name; };
 *     static const struct json_field fields[] = {
 *         {"x", JSON_FIELD_I64, offsetof(struct point, x), .required = true},
 *         {"name", JSON_FIELD_STRING, offsetof(struct point, name)},
 *     };
 *     r = json_read_object(json, "/point", fields, ARRAY_SIZE(fields), JSON_ALLOW_UNKNOWN, &p,
 * &arena, err);
 *
 * Absent and null fields leave the target as it is. Errors name the path: "/point/x: expected a
 * whole number, got \"abc\"". Strings are copied to the arena.
 */
enum json_field_type {
    JSON_FIELD_STRING, /* const char * */
    JSON_FIELD_BOOL,   /* bool */
    JSON_FIELD_I64,    /* int64_t; a real with no fraction is accepted */
    JSON_FIELD_DOUBLE, /* double; integers are accepted */
    JSON_FIELD_MILLI,  /* int64_t thousandths from a number, rounded to nearest */
    JSON_FIELD_OBJECT, /* const json_t *, borrowed from the document */
    JSON_FIELD_ARRAY,  /* const json_t *, borrowed */
    JSON_FIELD_ANY,    /* const json_t *, borrowed; null counts as absent */
};

struct json_field {
    const char *name;
    enum json_field_type type;
    size_t offset;
    bool required;
    int64_t min, max;  /* for I64 and MILLI; both 0 = no limits */
    size_t has_offset; /* of a bool set to true when present; 0 = none */
};

enum { JSON_ALLOW_UNKNOWN = 1u << 0 };

/* 0, or -EINVAL with path and reason. `path` is the JSON pointer of the object, "" for the root. */
int json_read_object(const json_t *object, const char *path, const struct json_field *fields,
    size_t n, unsigned flags, void *target, struct arena *arena, struct error *err);

/* Short description of a value for error messages: `"abc"`, `3`, `an object`. Buffer of any size.
 */
void json_describe(const json_t *value, char *out, size_t size);

/* Compact text with the object's own key order. */
void json_dump(const json_t *value, struct buf *out);

/* NULL-safe look-ups that return NULL / the fallback for a missing key or another type. */
const json_t *json_at(const json_t *object, const char *key);
const char *json_str_at(const json_t *object, const char *key, const char *fallback);
int64_t json_i64_at(const json_t *object, const char *key, int64_t fallback);
double json_double_at(const json_t *object, const char *key, double fallback);
bool json_bool_at(const json_t *object, const char *key, bool fallback);

#endif
