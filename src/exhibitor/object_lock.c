#include "exhibitor/object_lock.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/parse.h"
#include "base/rng.h"

enum { PAUSE_MS = 200 };

static const char NUMBER[] = "number-", CHOOSING[] = "choosing-";

/* Names of others and when they were seen first, by this process. */
struct known {
    char *name;
    int64_t since_us;
};
static VEC(struct known) g_known;
static pthread_mutex_t g_mutex = PTHREAD_MUTEX_INITIALIZER;

bool object_lock_parse(const char *name, uint32_t *ret_number, struct str *ret_owner)
{
    struct str rest = str_of(name);
    *ret_number = 0;
    if (has_prefix(name, CHOOSING)) {
        *ret_owner = (struct str){name + strlen(CHOOSING), rest.n - strlen(CHOOSING)};
        return ret_owner->n > 0;
    }
    if (!has_prefix(name, NUMBER))
        return false;
    rest = (struct str){name + strlen(NUMBER), rest.n - strlen(NUMBER)};
    ptrdiff_t dash = str_index(rest, '-');
    if (dash <= 0 || parse_u32((struct str){rest.p, (size_t)dash}, ret_number) < 0)
        return false;
    *ret_owner = (struct str){rest.p + dash + 1, rest.n - (size_t)dash - 1};
    return *ret_number > 0 && ret_owner->n > 0;
}

static int put(struct object_lock *l, const char *name, struct error *err)
{
    static const struct storage_content text = {.bytes = "lock\n", .n = 5};
    _cleanup_free_ char *path = xasprintf("%s/%s", OBJECT_LOCK_FOLDER, name);
    return storage_put(l->storage, path, &text, err);
}

static int drop(struct object_lock *l, const char *name, struct error *err)
{
    _cleanup_free_ char *path = xasprintf("%s/%s", OBJECT_LOCK_FOLDER, name);
    return storage_remove_recursive(l->storage, path, err);
}

/* Names in the folder. */
static int list(struct object_lock *l, struct strings *ret, struct error *err)
{
    _cleanup_strings_ struct strings paths = {0};
    int r = storage_list(l->storage, OBJECT_LOCK_FOLDER, &paths, err);
    for (size_t i = 0; r == 0 && i < paths.n; i++) {
        const char *slash = strrchr(paths.items[i], '/');
        strings_add(ret, slash ? slash + 1 : paths.items[i]);
    }
    return r;
}

/* How long this process has seen it. Forgets what is not there any more. */
static int64_t age(const struct strings *names, const char *name)
{
    const int64_t now = clock_monotonic_us();
    int64_t since_us = now;
    bool found = false;
    pthread_mutex_lock(&g_mutex);
    for (size_t i = g_known.n; i > 0; i--) {
        struct known *k = &g_known.items[i - 1];
        if (streq(k->name, name)) {
            since_us = k->since_us;
            found = true;
        } else if (!strings_has(names, k->name)) {
            free(k->name);
            vec_remove(&g_known, i - 1);
        }
    }
    if (!found && g_known.n < OBJECT_LOCK_SEEN_MAX)
        vec_push(&g_known, (struct known){xstrdup(name), now});
    pthread_mutex_unlock(&g_mutex);
    return now - since_us;
}

/* What a process of this machine before this one, or a call before this one, left behind. */
static int remove_own(
    struct object_lock *l, const char *name, const struct strings *names, struct error *err)
{
    _cleanup_free_ char *prefix = xasprintf("%s_", name);
    int r = 0;
    for (size_t i = 0; i < names->n && r == 0; i++) {
        uint32_t number;
        struct str owner;
        if (object_lock_parse(names->items[i], &number, &owner) &&
            str_has_prefix(owner, str_of(prefix)))
            r = drop(l, names->items[i], err);
    }
    return r;
}

/* Whether somebody goes before us; who did not move for the lease is removed. */
static int is_behind(struct object_lock *l, uint32_t mine, bool *ret, struct error *err)
{
    _cleanup_strings_ struct strings names = {0};
    int r = list(l, &names, err);
    *ret = false;
    for (size_t i = 0; i < names.n && r == 0; i++) {
        uint32_t number;
        struct str owner;
        if (!object_lock_parse(names.items[i], &number, &owner) || str_eq_c(owner, l->owner))
            continue;
        /* Both end with the names. */
        if (number > mine || (number == mine && strcmp(owner.p, l->owner) > 0))
            continue;
        if (age(&names, names.items[i]) >= l->lease_us)
            r = drop(l, names.items[i], err);
        else
            *ret = true;
    }
    return r;
}

static int choose(struct object_lock *l, const char *name, uint32_t *ret, struct error *err)
{
    _cleanup_strings_ struct strings names = {0}, again = {0};
    _cleanup_free_ char *choosing = xasprintf("%s%s", CHOOSING, l->owner);
    uint32_t most = 0, number;
    struct str owner;
    int r = list(l, &names, err);
    if (r == 0)
        r = remove_own(l, name, &names, err);
    if (r == 0)
        r = put(l, choosing, err);
    if (r == 0)
        r = list(l, &again, err);
    for (size_t i = 0; i < again.n; i++)
        if (object_lock_parse(again.items[i], &number, &owner))
            most = MAX(most, number);
    if (r == 0 && most == UINT32_MAX)
        r = error_set(
            err, -ERANGE, "%s has names that are not of this program", OBJECT_LOCK_FOLDER);
    if (r < 0)
        return r;
    *ret = most + 1;
    snprintf(l->number, sizeof(l->number), "%s%08u-%s", NUMBER, *ret, l->owner);
    l->since_us = clock_monotonic_us();
    r = put(l, l->number, err);
    return r < 0 ? r : drop(l, choosing, err);
}

int object_lock_take(struct object_lock *l, struct storage *s, const char *name, int64_t hold_us,
    int64_t lease_us, struct error *err)
{
    uint32_t mine = 0;
    bool behind = true;
    uint32_t nonce;
    random_bytes(&nonce, sizeof(nonce));
    *l = (struct object_lock){.storage = s, .hold_us = hold_us, .lease_us = lease_us};
    (void)snprintf(l->owner, sizeof(l->owner), "%.60s_%08x", name, nonce);
    int r = choose(l, name, &mine, err);
    while (r == 0 && behind) {
        r = is_behind(l, mine, &behind, err);
        if (r == 0 && behind && !object_lock_holds(l))
            r = error_set(err, -ETIMEDOUT, "other masters hold the store's lock");
        if (r == 0 && behind)
            (void)poll(NULL, 0, PAUSE_MS); /* a pause */
    }
    if (r < 0)
        object_lock_drop(l);
    return r;
}

bool object_lock_holds(const struct object_lock *l)
{
    return clock_monotonic_us() - l->since_us < l->hold_us;
}

/* What cannot be removed others remove after the lease. */
void object_lock_drop(struct object_lock *l)
{
    if (l->number[0])
        (void)drop(l, l->number, NULL);
}
