#ifndef DCOS_TEST_STORE_FIXTURE_H
#define DCOS_TEST_STORE_FIXTURE_H

/* A temporary folder, a loop, and commits that tests wait for. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "io/loop.h"
#include "store/store.h"
#include "unit.h"

struct result {
    unsigned calls;
    int status;
    ssize_t failed_op;
    int64_t versions[8];
    size_t n;
};

struct fixture {
    char directory[64];
    char url[96];
    struct loop *loop;
};

static inline void fixture_init(struct fixture *f)
{
    *f = (struct fixture){.directory = "/tmp/dcos-test-store-XXXXXX"};
    assert_non_null(mkdtemp(f->directory));
    assert_true(snprintf(f->url, sizeof(f->url), "sqlite:%s/x.db", f->directory) > 0);
    f->loop = loop_new();
}

static inline void fixture_done(struct fixture *f)
{
    loop_free(f->loop);
    assert_int_equal(remove_tree(f->directory, NULL), 0);
}

static inline struct store *must_open(struct fixture *f, const char *url)
{
    struct store *s = NULL;
    struct error err = ERROR_INIT;
    if (store_open(f->loop, url, &s, &err) < 0)
        fail_msg("%s", err.msg);
    return s;
}

static inline void on_result(
    int status, ssize_t failed_op, const int64_t *new_versions, void *userdata)
{
    struct result *r = userdata;
    r->calls++;
    r->status = status;
    r->failed_op = failed_op;
    for (size_t i = 0; i < r->n && status == 0; i++)
        r->versions[i] = new_versions[i];
}

static inline void must_start(
    struct store *s, const struct store_op *ops, size_t n, struct result *r)
{
    struct error err = ERROR_INIT;
    *r = (struct result){.n = n < ARRAY_SIZE(r->versions) ? n : ARRAY_SIZE(r->versions)};
    if (store_commit(s, ops, n, on_result, r, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(r->calls, 0);
}

static inline struct result commit(
    struct fixture *f, struct store *s, const struct store_op *ops, size_t n)
{
    struct result r;
    must_start(s, ops, n, &r);
    while (r.calls == 0)
        loop_run_once(f->loop, true);
    assert_int_equal(r.calls, 1);
    return r;
}

static inline struct store_op op_put(const char *key, const char *value, int64_t version)
{
    return (struct store_op){STORE_PUT, key, value, strlen(value), version};
}

static inline struct store_op op_delete(const char *key, int64_t version)
{
    return (struct store_op){STORE_DELETE, key, NULL, 0, version};
}

static inline struct store_op op_check(const char *key, int64_t version)
{
    return (struct store_op){STORE_CHECK, key, NULL, 0, version};
}

static inline int64_t put(struct fixture *f, struct store *s, const char *key, const char *value)
{
    struct store_op op = op_put(key, value, STORE_ANY_VERSION);
    struct result r = commit(f, s, &op, 1);
    assert_int_equal(r.status, 0);
    return r.versions[0];
}

/* NULL means absent. */
static inline void assert_value(struct store *s, const char *key, const char *value)
{
    _cleanup_buf_ struct buf b = BUF_INIT;
    int r = store_get(s, key, &b, NULL, NULL);
    if (value) {
        assert_int_equal(r, 0);
        assert_string_equal(buf_cstr(&b), value);
    } else {
        assert_int_equal(r, -ENOENT);
    }
}

#endif
