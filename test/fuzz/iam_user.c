/* Bodies of users: what is refused changes nothing, what is taken is stored so that it reads back
 * the same. */

#include <assert.h>
#include <string.h>

#include "base/str.h"
#include "iam/core.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_stored(const struct iam_core *c, const char *uid)
{
    struct iam_core again = {0};
    for (size_t i = 0; i < c->changes.n; i++) {
        const struct iam_change *change = &c->changes.items[i];
        int r = iam_core_load(&again, change->key, str_of(change->stored), NULL);
        assert(r == 0);
    }
    const struct policy_user *u = map_get(&c->policy.users, uid);
    const struct policy_user *v = map_get(&again.policy.users, uid);
    assert(u && v && !u->password_hash == !v->password_hash);
    assert(!u->password_hash || streq(u->password_hash, v->password_hash));
    _cleanup_json_ json_t *a = policy_user_document(u), *b = policy_user_document(v);
    assert(json_equal(a, b));
    iam_core_done(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* The id up to the first line's end, then the body. */
    const uint8_t *end = memchr(data, '\n', size);
    if (!end || memchr(data, '\0', (size_t)(end - data)))
        return 0;
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    const char *uid = arena_strndup(&arena, (const char *)data, (size_t)(end - data));
    _cleanup_json_ json_t *body = NULL;
    (void)json_parse((const char *)end + 1, size - (size_t)(end + 1 - data), &body, NULL);
    struct iam_core c = {0};
    struct iam_user_spec spec;
    struct iam_reply reply = {0};
    if (!iam_user_read(&c, uid, body, true, &arena, &spec, &reply)) {
        assert(reply.status >= 400 && *reply.code && *reply.text);
        assert(c.changes.n == 0 && map_size(&c.policy.users) == 0);
        iam_core_done(&c);
        return 0;
    }
    if (spec.password)
        spec.password_hash = "$argon2id$made by the shell";
    iam_user_create(&c, uid, &spec, 1, &reply);
    assert(reply.status == 201 && c.changes.n == 1);
    _cleanup_json_ json_t *shown = NULL;
    const char *text = c.changes.items[0].shown;
    assert(json_parse(text, strlen(text), &shown, NULL) == 0);
    assert(!json_at(shown, "password_hash") && !json_at(shown, "private_key"));
    check_stored(&c, uid);
    /* The same as a change of who is there by now. */
    if (iam_user_read(&c, uid, body, false, &arena, &spec, &reply)) {
        iam_user_update(&c, uid, &spec, &reply);
        assert(reply.status == 204);
        check_stored(&c, uid);
    }
    iam_user_delete(&c, uid, &reply);
    assert(reply.status == 204 && map_size(&c.policy.users) == 0);
    iam_core_done(&c);
    return 0;
}
