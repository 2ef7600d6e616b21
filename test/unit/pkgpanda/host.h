#ifndef DCOS_TEST_PKGPANDA_HOST_H
#define DCOS_TEST_PKGPANDA_HOST_H

/* A host in a temporary folder: root, repository, configuration, units, state. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "pkgpanda/install.h"
#include "pkgpanda/repository.h"
#include "transfer/pack.h"
#include "unit.h"

struct host {
    char top[64];
    char *root, *repository, *config, *units, *state;
    struct install in;
};

static inline int host_set_up(void **state)
{
    struct host *h = xnew(struct host);
    /* In memory where there is such a place: thousands of syncs are made. */
    snprintf(h->top, sizeof(h->top), "%s/dcos-test-pkgpanda-XXXXXX",
        access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    assert_non_null(mkdtemp(h->top));
    h->root = path_join(h->top, "root");
    h->repository = path_join(h->root, "packages");
    h->config = path_join(h->top, "config");
    h->units = path_join(h->top, "units");
    h->state = path_join(h->top, "state");
    assert_int_equal(mkdir_all(h->repository, 0755, NULL), 0);
    assert_int_equal(mkdir_all(h->config, 0755, NULL), 0);
    h->in = (struct install){.root = h->root,
        .repository = h->repository,
        .config_dir = h->config,
        .state_dir_root = h->state,
        .systemd_dir = h->units,
        .manage_state = true};
    *state = h;
    return 0;
}

static inline int host_tear_down(void **state)
{
    struct host *h = *state;
    assert_int_equal(remove_tree(h->top, NULL), 0);
    free(h->root);
    free(h->repository);
    free(h->config);
    free(h->units);
    free(h->state);
    free(h);
    return 0;
}

/* A file below `base`, with the folders above it. */
static inline void put(const char *base, const char *path, const char *text, mode_t mode)
{
    _cleanup_free_ char *full = path_join(base, path);
    _cleanup_free_ char *folder = xstrdup(full);
    *strrchr(folder, '/') = '\0';
    assert_int_equal(mkdir_all(folder, 0755, NULL), 0);
    assert_int_equal(file_write_atomic(full, text, strlen(text), mode, NULL), 0);
}

/* "path=text" strings after the pkginfo, NULL at the end. */
static inline void make_package(struct host *h, const char *id, const char *pkginfo, ...)
{
    _cleanup_free_ char *folder = path_join(h->repository, id);
    put(folder, "pkginfo.json", pkginfo, 0644);
    va_list ap;
    va_start(ap, pkginfo);
    for (const char *file; (file = va_arg(ap, const char *));) {
        const char *text = strchr(file, '=');
        _cleanup_free_ char *path = xstrndup(file, (size_t)(text - file));
        put(folder, path, text + 1, 0755);
    }
    va_end(ap);
}

static inline char *text_of(const char *base, const char *path)
{
    struct buf b = BUF_INIT;
    _cleanup_free_ char *full = path_join(base, path);
    if (file_read(full, 1 << 20, &b, NULL) < 0) {
        buf_done(&b);
        return NULL;
    }
    return buf_steal(&b);
}

static inline void assert_text(const char *base, const char *path, const char *text)
{
    _cleanup_free_ char *got = text_of(base, path);
    if (!got)
        fail_msg("%s/%s cannot be read", base, path);
    assert_string_equal(got, text);
}

static inline bool is_there(const char *base, const char *path)
{
    struct stat st;
    _cleanup_free_ char *full = path_join(base, path);
    return lstat(full, &st) == 0;
}

static inline void assert_active(const struct host *h, const char *ids)
{
    struct strings active = {0};
    struct error err = ERROR_INIT;
    if (install_active(&h->in, &active, &err) < 0)
        fail_msg("%s", err.msg);
    _cleanup_free_ char *text = strings_join(&active);
    strings_done(&active);
    assert_string_equal(text, ids);
}

/* Ids with blanks between. */
static inline int activate(const struct host *h, const char *ids, struct error *err)
{
    _cleanup_strings_ struct strings list = {0};
    struct str rest = str_of(ids), one;
    while (str_split(&rest, ' ', &one)) {
        _cleanup_free_ char *id = str_dup(one);
        if (*id)
            strings_add(&list, id);
    }
    return install_activate(&h->in, &list, err);
}

static inline void must_activate(const struct host *h, const char *ids)
{
    struct error err = ERROR_INIT;
    if (activate(h, ids, &err) < 0)
        fail_msg("%s", err.msg);
}

#define HOST_TEST(f) cmocka_unit_test_setup_teardown(f, host_set_up, host_tear_down)

#endif
