#include "iam/core.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "auth/rsa.h"
#include "base/alloc.h"
#include "iam/core_internal.h"

/* Loading, and the one way in which anything changes. */

void iam_change_done(struct iam_change *change)
{
    free(change->key);
    rsa_wipe(change->stored); /* it may hold secrets */
    free(change->shown);
}

void iam_changes_clear(struct iam_core *c)
{
    VEC_FOREACH (change, &c->changes)
        iam_change_done(change);
    vec_clear(&c->changes);
}

void iam_core_done(struct iam_core *c)
{
    iam_changes_clear(c);
    vec_done(&c->changes);
    policy_done(&c->policy);
}

void iam_refuse(struct iam_reply *reply, int status, const char *code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    reply->status = status;
    snprintf(reply->code, sizeof(reply->code), "%s", code);
    vsnprintf(reply->text, sizeof(reply->text), fmt, ap);
    va_end(ap);
}

void iam_done(struct iam_reply *reply, int status)
{
    *reply = (struct iam_reply){.status = status};
}

bool iam_id_valid(const char *id)
{
    size_t n = strlen(id);
    if (n == 0 || n > POLICY_UID_MAX || streq(id, ".") || streq(id, ".."))
        return false;
    for (const char *c = id; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f || *c == '/')
            return false;
    json_t *text = json_string(id); /* NULL unless it is UTF-8 */
    json_decref(text);
    return text != NULL;
}

static char *dump(const json_t *o)
{
    struct buf text = BUF_INIT;
    json_dump(o, &text);
    return buf_steal(&text);
}

void iam_change(struct iam_core *c, const char *kind, const char *name, json_t *shown,
    const char *secret_name, const char *secret)
{
    _cleanup_buf_ struct buf key = BUF_INIT;
    policy_key(&key, kind, name);
    struct iam_change change = {.key = xstrdup(buf_cstr(&key))};
    if (shown) {
        change.shown = dump(shown);
        if (secret)
            json_object_set_new(shown, secret_name, json_string(secret));
        json_object_set_new(shown, "version", json_integer(IAM_FORMAT));
        change.stored = dump(shown);
    }
    /* Documents made here are well formed. */
    (void)policy_apply(&c->policy, change.key, shown, NULL);
    json_decref(shown);
    vec_push(&c->changes, change);
}

void iam_put_document(struct iam_core *c, const char *kind, const char *name, json_t *document)
{
    _cleanup_buf_ struct buf key = BUF_INIT;
    policy_key(&key, kind, name);
    struct iam_change change = {.key = xstrdup(buf_cstr(&key))};
    if (document)
        change.stored = dump(document);
    json_decref(document);
    vec_push(&c->changes, change);
}

int iam_core_load(struct iam_core *c, const char *key, struct str value, struct error *err)
{
    _cleanup_json_ json_t *o = NULL;
    int r = json_parse(value.p, value.n, &o, err);
    if (r < 0)
        return error_prefix(err, -EBADMSG, "%s", key);
    if (json_i64_at(o, "version", 0) > IAM_FORMAT)
        return error_set(err, -EBADMSG,
            "%s was written by a newer release; run that release, or restore a backup", key);
    return policy_apply(&c->policy, key, o, err);
}
