#ifndef DCOS_MARATHON_PATH_H
#define DCOS_MARATHON_PATH_H

/*
 * Names: app and group ids ("/shop/web"), instance ids ("shop_web.instance-<uuid>") and task ids
 * ("shop_web.instance-<uuid>._app.3"). Absolute ids start with '/', never end with one (but the
 * root "/"), and hold neither "." nor "..".
 */

#include "base/buf.h"
#include "base/str.h"

enum { PATH_MAX_LEN = 200 }; /* task ids built from it must stay under 255 bytes */

extern const char path_segment_regex[]; /* as it appears in messages */

/* What the JSON level accepts: segments, "..", optional slashes at either end. */
bool path_text_ok(const char *text);
/* Resolves `text` against the absolute `base`; collapses "." and "..". Caller frees. */
char *path_resolve(const char *base, const char *text);
/* True for one segment that the pattern takes. */
bool path_segment_ok(struct str segment);
/* NULL when the absolute id may name an app or group, else the message. */
const char *path_check(const char *id);

char *path_parent(const char *id); /* "/a" -> "/" ; caller frees */
const char *path_last(const char *id);
/* True when id lies below `ancestor` (not equal). */
bool path_below(const char *id, const char *ancestor);
bool path_is_root(const char *id);
/* Number of segments. */
size_t path_depth(const char *id);
/* First segment, empty for the root. */
struct str path_top(const char *id);
void path_safe(const char *id, struct buf *out);     /* "/a/b" -> "a_b" */
void path_hostname(const char *id, struct buf *out); /* "/a/b" -> "b.a" */

/* A task id taken apart. The views point into the text. */
struct task_id {
    struct str safe_path;   /* "shop_web" */
    struct str instance_id; /* "shop_web.instance-<uuid>"; empty for legacy ids */
    struct str uuid;
    struct str container; /* "_app" */
    int64_t incarnation;  /* 0 = none */
};
/* 0; -EINVAL when no known form fits; -EBADMSG when the form fits but the UUID does not. */
int task_id_parse(const char *text, struct task_id *ret);
/* "shop_web.instance-<uuid>"; -EINVAL otherwise. */
int instance_id_parse(const char *text, struct str *ret_safe_path);

#endif
