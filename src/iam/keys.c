#include <stdio.h>
#include <string.h>

#include <openssl/crypto.h>

#include "auth/rsa.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "iam/shell.h"

/*
 * The keys that sign tokens. The newest signs; older ones verify until the last token that they
 * signed has expired. A key is used only once it is durable, so that no token is ever signed by a
 * key that a restart forgets.
 */

#define KEY_CHECK_US (3600 * USEC_PER_SEC)
#define KEY_MARGIN_US (3600 * USEC_PER_SEC) /* clocks differ */

struct making {
    struct loop_work work;
    struct iam *iam;
    char *public_pem, *private_pem;
    char kid[RSA_KID_SIZE];
    struct error err;
    void (*on_ready)(struct iam *s);
};

static void key_work(struct loop_work *w)
{
    struct making *m = container_of(w, struct making, work);
    (void)rsa_generate(&m->public_pem, &m->private_pem, m->kid, &m->err);
    /* What OpenSSL keeps for the thread, which it does not free itself when the process ends. */
    OPENSSL_thread_stop();
}

/* Every public key that is there verifies. */
static void refresh(struct iam *s)
{
    struct jwt_keys *keys = jwt_keys_new();
    MAP_FOREACH (e, &s->core.policy.keys) {
        const struct policy_public_key *k = e->value;
        struct error err = ERROR_INIT;
        if (jwt_keys_add_pem(keys, k->pem, strlen(k->pem), &err) < 0)
            log_error("a signing key cannot be read kid=%s error=%s, ignoring", k->kid, err.msg);
    }
    jwt_keys_free(s->keys);
    s->keys = keys;
}

/* Looked at now and then: old keys go and a new one comes when it is time. */
static void arm(struct iam *s)
{
    int64_t wait = KEY_CHECK_US;
    if (s->options.key_life_us > 0)
        wait = MIN(wait, MAX(s->key_made_us + s->options.key_life_us - iam_now(s), 0));
    timer_start(&s->key_timer, wait);
}

static void making_free(struct making *m)
{
    free(m->public_pem);
    rsa_wipe(m->private_pem);
    free(m);
}

static void key_stored(void *userdata)
{
    struct making *m = userdata;
    struct iam *s = m->iam;
    s->making_key = false;
    if (!s->stopping && !s->failure) {
        rsa_wipe(s->private_pem);
        s->private_pem = TAKE_PTR(m->private_pem);
        memcpy(s->kid, m->kid, sizeof(s->kid));
        log_info("tokens are signed by a new key kid=%s", s->kid);
        if (m->on_ready)
            m->on_ready(s);
    }
    making_free(m);
}

static void key_made(struct loop_work *w)
{
    struct making *m = container_of(w, struct making, work);
    struct iam *s = m->iam;
    if (s->stopping || !m->private_pem) {
        if (!s->stopping)
            iam_fail(s, "cannot make a signing key", m->err.msg);
        making_free(m);
        return;
    }
    s->key_made_us = iam_now(s);
    iam_key_add(&s->core, m->kid, m->public_pem, m->private_pem, s->key_made_us);
    refresh(s); /* it verifies before it signs */
    arm(s);
    iam_commit(s, key_stored, m);
}

static void make_key(struct iam *s, void (*on_ready)(struct iam *s))
{
    if (s->making_key)
        return;
    s->making_key = true;
    struct making *m = xnew(struct making);
    m->work = (struct loop_work){.work = key_work, .done = key_made};
    m->iam = s;
    m->on_ready = on_ready;
    loop_work_start(s->loop, &m->work);
}

bool keys_rotate(struct iam *s)
{
    if (map_size(&s->core.policy.keys) >= IAM_KEYS_MAX)
        return false;
    make_key(s, NULL);
    return true;
}

/* Keys whose last token has expired. */
static void drop_old(struct iam *s)
{
    int64_t now = iam_now(s), longest = s->options.token_life_us + KEY_MARGIN_US;
    bool dropped = false;
    MAP_FOREACH (e, &s->core.policy.keys) {
        const struct policy_public_key *k = e->value;
        if (k->current || k->retired_us + longest > now)
            continue;
        _cleanup_free_ char *kid = xstrdup(k->kid);
        log_info("a signing key is dropped kid=%s", kid);
        iam_key_remove(&s->core, kid);
        dropped = true;
    }
    if (dropped) {
        refresh(s);
        iam_commit(s, NULL, NULL);
    }
}

static void key_due(struct timer *t)
{
    struct iam *s = container_of(t, struct iam, key_timer);
    drop_old(s);
    bool due = s->options.key_life_us > 0 && iam_now(s) >= s->key_made_us + s->options.key_life_us;
    if (!due)
        arm(s);
    else if (!keys_rotate(s)) /* which arms it when the key is there */
        timer_start(t, KEY_CHECK_US);
}

void keys_start(struct iam *s, void (*on_ready)(struct iam *s))
{
    timer_init(&s->key_timer, s->loop, key_due);
    refresh(s);
    if (!s->private_pem) {
        make_key(s, on_ready);
        return;
    }
    drop_old(s);
    arm(s);
    on_ready(s);
}

void keys_load(struct iam *s, const char *key, struct str value)
{
    _cleanup_json_ json_t *o = NULL;
    if (json_parse(value.p, value.n, &o, NULL) < 0)
        return; /* the core said so */
    const char *pem = json_str_at(o, "private_key", NULL);
    if (!pem || !json_bool_at(o, "current", false))
        return;
    rsa_wipe(s->private_pem);
    s->private_pem = xstrdup(pem);
    s->key_made_us = json_i64_at(o, "made_us", 0);
    snprintf(s->kid, sizeof(s->kid), "%s", key + strlen("keys/"));
}

int keys_sign(struct iam *s, struct str claims, struct buf *out, struct error *err)
{
    return jwt_make_rs256(str_of(s->private_pem), NULL, claims, out, err);
}

/* The first one signs. */
void keys_write_jwks(struct iam *s, struct json_writer *w)
{
    jw_begin_object(w);
    jw_key(w, "keys");
    jw_begin_array(w);
    for (int pass = 0; pass < 2; pass++) {
        MAP_FOREACH (e, &s->core.policy.keys) {
            const struct policy_public_key *k = e->value;
            if (streq(k->kid, s->kid) == (pass == 0))
                (void)rsa_write_jwk(w, k->pem, k->kid);
        }
    }
    jw_end_array(w);
    jw_end_object(w);
}

void keys_done(struct iam *s)
{
    timer_stop(&s->key_timer);
    rsa_wipe(s->private_pem);
    s->private_pem = NULL;
    jwt_keys_free(s->keys);
    s->keys = NULL;
}
