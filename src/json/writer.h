#ifndef DCOS_JSON_WRITER_H
#define DCOS_JSON_WRITER_H

/*
 * Writing JSON straight into a buffer, with commas and escaping done here.
 *
 *     jw_begin_object(&w); jw_key(&w, "id"); jw_string(&w, id); jw_end_object(&w);
 *
 * Nesting mistakes assert. Strings must be UTF-8; bytes that are not become U+FFFD. When `flush` is
 * set it is called whenever the buffer holds at least `flush_at` bytes, and has to empty it (or
 * stop a writer whose reader is gone by leaving it; the writer then goes on growing).
 */

#include "base/buf.h"
#include "json/json.h"

/* Deeper than json_parse() lets anything in, so that whatever was read can be written inside more.
 */
enum { JSON_WRITER_DEPTH = JSON_DEPTH_MAX + 32 };

struct json_writer {
    struct buf *out;
    void (*flush)(struct json_writer *w, void *userdata);
    void *userdata;
    size_t flush_at;
    unsigned indent; /* spaces per level, 0 = compact */
    unsigned depth;
    bool need_comma[JSON_WRITER_DEPTH];
    bool is_array[JSON_WRITER_DEPTH];
    bool after_key;
};

void jw_init(struct json_writer *w, struct buf *out);
void jw_begin_object(struct json_writer *w);
void jw_end_object(struct json_writer *w);
void jw_begin_array(struct json_writer *w);
void jw_end_array(struct json_writer *w);
void jw_key(struct json_writer *w, const char *key);
void jw_string(struct json_writer *w, const char *s); /* NULL writes null */
void jw_string_n(struct json_writer *w, const char *s, size_t n);
void jw_i64(struct json_writer *w, int64_t v);
void jw_u64(struct json_writer *w, uint64_t v);
/* Shortest text that reads back to the same double, always with a fraction or an exponent
 * ("15.0"); infinities as Infinity / -Infinity, NaN as null. */
void jw_double(struct json_writer *w, double v);
/* Thousandths as a number: 1500 -> 1.5, 2000 -> 2.0 */
void jw_milli(struct json_writer *w, int64_t milli);
void jw_bool(struct json_writer *w, bool v);
void jw_null(struct json_writer *w);
/* Any jansson tree, keys in its order. */
void jw_tree(struct json_writer *w, const json_t *value);
/* Text that already is one JSON value. */
void jw_raw(struct json_writer *w, const char *text, size_t n);

/* Key and value in one call. */
void jw_field_string(struct json_writer *w, const char *key, const char *s);
void jw_field_i64(struct json_writer *w, const char *key, int64_t v);
void jw_field_double(struct json_writer *w, const char *key, double v);
void jw_field_bool(struct json_writer *w, const char *key, bool v);

#endif
