#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "exhibitor/object_lock.h"
#include "exhibitor/stores.h"
#include "storage/aws_metadata.h"
#include "storage/storage.h"

/*
 * An object in a bucket of S3 or a container of Azure. The tag is the server's. Servers that speak
 * like S3 and do not know conditional writes, which is found out by trying, get locks made of
 * objects (object_lock.h).
 */

static const int64_t ROLE_US = 10 * 60 * USEC_PER_SEC; /* keys of a role are asked for anew */

struct shared_object {
    struct shared base;
    json_t *options; /* for storage_open(), without keys of a role */
    struct storage *storage;
    bool by_role;
    int64_t opened_us;
    enum { UNKNOWN, CONDITIONAL, LOCKED } writes;
    char *file, *probe; /* paths of ours */
    char *name;         /* of this machine */
};

static struct shared_object *of(struct shared *s)
{
    return container_of(s, struct shared_object, base);
}

/* ---- the storage ---- */

static int add_role(json_t *options, struct error *err)
{
    const char *endpoint = getenv(AWS_METADATA_VARIABLE);
    struct aws_metadata m = {0};
    struct aws_credentials c = {0};
    int r = aws_metadata_open(&m, endpoint && *endpoint ? endpoint : AWS_METADATA_DEFAULT, err);
    if (r == 0)
        r = aws_metadata_credentials(&m, &c, err);
    if (r == 0) {
        json_object_set_new(options, "access_key_id", json_string(c.key));
        json_object_set_new(options, "secret_access_key", json_string(c.secret));
        json_object_set_new(options, "session_token", json_string(c.token));
    }
    aws_credentials_done(&c);
    aws_metadata_done(&m);
    return r;
}

static int ready(struct shared_object *o, struct error *err)
{
    const int64_t now = clock_monotonic_us();
    if (o->storage && (!o->by_role || now - o->opened_us < ROLE_US))
        return 0;
    _cleanup_json_ json_t *options = json_copy(o->options);
    struct storage *opened = NULL;
    int r = o->by_role ? add_role(options, err) : 0;
    if (r == 0)
        r = storage_open("of the shared configuration", options, &opened, err);
    if (r == 0 && !o->storage)
        r = storage_prepare(opened, err);
    if (r < 0) {
        storage_free(opened);
        return o->storage ? 0 : r; /* the keys that are there may last */
    }
    storage_free(o->storage);
    o->storage = opened;
    o->opened_us = now;
    return 0;
}

/* Whether the server refuses to write over what is there, when it is told to. */
static int find_out(struct shared_object *o, struct error *err)
{
    static const struct storage_content text = {.bytes = "probe\n", .n = 6};
    if (o->writes != UNKNOWN)
        return 0;
    int r = storage_remove_recursive(o->storage, o->probe, err);
    if (r == 0)
        r = storage_put_if(o->storage, o->probe, &text, NULL, err);
    if (r == 0) {
        r = storage_put_if(o->storage, o->probe, &text, NULL, err);
        if (r == 0 || r == -EAGAIN) {
            o->writes = r == 0 ? LOCKED : CONDITIONAL;
            r = storage_remove_recursive(o->storage, o->probe, err);
        }
    }
    if (r == -EOPNOTSUPP) {
        o->writes = LOCKED;
        r = 0;
    }
    return r;
}

/* ---- calls ---- */

static int object_get(struct shared *s, struct buf *ret, char **ret_tag, struct error *err)
{
    struct shared_object *o = of(s);
    int r = ready(o, err);
    return r < 0 ? r : storage_fetch_tagged(o->storage, o->file, ret, ret_tag, err);
}

/* With the lock held, as long as it is. */
static int put_locked(struct shared_object *o, const struct object_lock *lock, const char *tag,
    const struct storage_content *content, struct error *err)
{
    _cleanup_buf_ struct buf now = BUF_INIT;
    _cleanup_free_ char *now_tag = NULL;
    int r = storage_fetch_tagged(o->storage, o->file, &now, &now_tag, err);
    if (r < 0 && r != -ENOENT)
        return r;
    if (r == -ENOENT ? tag != NULL : !tag || !streq(now_tag, tag))
        return error_set(err, -EAGAIN, "%s was written by another master", o->file);
    if (!object_lock_holds(lock))
        return error_set(err, -ETIMEDOUT, "the store is too slow to be locked");
    return storage_put(o->storage, o->file, content, err);
}

static int object_put(struct shared *s, const char *tag, const struct buf *text, struct error *err)
{
    struct shared_object *o = of(s);
    const struct storage_content content = {
        .bytes = text->p, .n = text->n, .content_type = "application/json", .no_cache = true};
    int r = ready(o, err);
    if (r == 0)
        r = find_out(o, err);
    if (r < 0 || o->writes == CONDITIONAL)
        return r < 0 ? r : storage_put_if(o->storage, o->file, &content, tag, err);
    struct object_lock lock;
    r = object_lock_take(
        &lock, o->storage, o->name, OBJECT_LOCK_HOLD_US, OBJECT_LOCK_LEASE_US, err);
    if (r < 0)
        return r;
    r = put_locked(o, &lock, tag, &content, err);
    object_lock_drop(&lock);
    return r;
}

static void object_free(struct shared *s)
{
    struct shared_object *o = of(s);
    storage_free(o->storage);
    json_decref(o->options);
    free(o->file);
    free(o->probe);
    free(o->name);
    free(o);
}

/* ---- kinds ---- */

/* `prefix`: "" or with a slash at its end. */
static struct shared_object *make(const char *kind, const char *prefix, const char *name)
{
    static const struct shared_ops ops = {
        .read = object_get, .write = object_put, .free = object_free};
    struct shared_object *o = xnew(struct shared_object);
    o->base.ops = &ops;
    o->name = xstrdup(name);
    o->file = xasprintf("%sdcos-exhibitor.json", prefix);
    o->probe = xasprintf("%sdcos-exhibitor.probe/%s", prefix, name);
    o->options = json_object();
    json_object_set_new(o->options, "kind", json_string(kind));
    json_object_set_new(o->options, "download_url", json_string("none:/"));
    return o;
}

static void set(struct shared_object *o, const char *option, const char *value)
{
    if (value && *value)
        json_object_set_new(o->options, option, json_string(value));
}

static const char *without_slashes(const char *text)
{
    return text ? text + strspn(text, "/") : NULL;
}

int shared_s3_new(
    const struct store_options *s, const char *name, struct shared **ret, struct error *err)
{
    const char *key = getenv("AWS_ACCESS_KEY_ID");
    struct shared_object *o = make("aws_s3", "", name);
    set(o, "bucket", s->s3_bucket);
    set(o, "object_prefix", without_slashes(s->s3_prefix));
    set(o, "region_name", s->aws_region);
    set(o, "endpoint_url", s->s3_endpoint);
    o->by_role = !key || !*key;
    *ret = &o->base;
    return 0;
}

int shared_azure_new(
    const struct store_options *s, const char *name, struct shared **ret, struct error *err)
{
    const char *prefix = without_slashes(s->azure_prefix);
    _cleanup_free_ char *folder = prefix && *prefix ? xasprintf("%s/", prefix) : xstrdup("");
    struct shared_object *o = make("azure_block_blob", folder, name);
    set(o, "account_name", s->azure_account);
    set(o, "account_key", s->azure_key);
    set(o, "container", s->azure_container);
    set(o, "endpoint_url", s->azure_endpoint);
    *ret = &o->base;
    return 0;
}
