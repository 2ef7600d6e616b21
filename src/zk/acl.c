/* Who may do what to nodes. */

#include <assert.h>
#include <errno.h>

#include "base/log.h"
#include "zk/session-internal.h"

static char g_auth[] = "auth", g_whoever[] = "", g_world[] = "world", g_anyone[] = "anyone",
            g_digest[] = "digest";
static struct ACL g_shared_entries[] = {
    {ZK_ALL, {g_auth, g_whoever}}, {ZK_READ, {g_world, g_anyone}}};
static const struct ACL_vector g_shared = {2, g_shared_entries};

const struct ACL_vector *zk_acl_of(struct zk_session *s, enum zk_access access)
{
    if (!s->url.auth || atomic_load(&s->open_folder))
        return &ZOO_OPEN_ACL_UNSAFE;
    return access == ZK_SHARED ? &g_shared : &ZOO_CREATOR_ALL_ACL;
}

int zk_is_open(struct zk_session *s, const char *path, bool *ret)
{
    struct ACL_vector acl = {0};
    struct Stat stat;
    zhandle_t *zh = zk_acquire(s);
    int rc = zh ? zoo_get_acl(zh, path, &acl, &stat) : ZINVALIDSTATE;
    zk_release(s);
    *ret = false;
    if (rc == ZNOAUTH)
        return 0; /* who may not even read the list is not everybody */
    if (rc != ZOK)
        return zk_status(rc);
    for (int32_t i = 0; i < acl.count; i++)
        if (streq(acl.data[i].id.scheme, g_world) && (acl.data[i].perms & ~ZK_READ) != 0)
            *ret = true;
    deallocate_ACL_vector(&acl);
    return 0;
}

int zk_learn_access(struct zk_session *s)
{
    bool open;
    if (!s->url.auth || atomic_load(&s->closed_folder))
        return 0;
    int r = zk_is_open(s, s->url.path, &open);
    if (r < 0 && r != -ENOENT)
        return r;
    atomic_store(&s->open_folder, r == 0 && open);
    atomic_store(&s->closed_folder, r == 0 && !open);
    if (r == 0 && open && !atomic_exchange(&s->told_open, true))
        log_warn("everybody may change this folder in ZooKeeper, and what is made in it path=%s",
            s->url.path);
    return 0;
}

/* The ids are not changed by the client, which has no const for them. */
static struct ACL_vector fill(const struct zk_entry *entries, size_t n, struct ACL *acl)
{
    assert(n <= ZK_ENTRIES_MAX);
    for (size_t i = 0; i < n; i++) {
        const char *digest = entries[i].digest;
        acl[i].perms = (int32_t)entries[i].permissions;
        acl[i].id = digest ? (struct Id){g_digest, (char *)(uintptr_t)digest}
                           : (struct Id){g_world, g_anyone};
    }
    return (struct ACL_vector){(int32_t)n, acl};
}

int zk_create_with(struct zk_session *s, const char *path, const struct zk_entry *entries, size_t n)
{
    struct ACL acl[ZK_ENTRIES_MAX];
    const struct ACL_vector list = fill(entries, n, acl);
    zhandle_t *zh = zk_acquire(s);
    int rc = zh ? zoo_create(zh, path, "", 0, &list, ZOO_PERSISTENT, NULL, 0) : ZINVALIDSTATE;
    zk_release(s);
    return zk_status(rc);
}

int zk_set_entries(struct zk_session *s, const char *path, const struct zk_entry *entries, size_t n)
{
    struct ACL acl[ZK_ENTRIES_MAX];
    const struct ACL_vector list = fill(entries, n, acl);
    zhandle_t *zh = zk_acquire(s);
    int rc = zh ? zoo_set_acl(zh, path, -1, &list) : ZINVALIDSTATE;
    zk_release(s);
    return zk_status(rc);
}
