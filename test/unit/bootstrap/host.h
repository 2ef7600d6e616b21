#ifndef DCOS_TEST_BOOTSTRAP_HOST_H
#define DCOS_TEST_BOOTSTRAP_HOST_H

/* A node in a temporary folder. */

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "bootstrap/bootstrap.h"
#include "unit.h"

struct host {
    char top[64];
    struct node n;
};

static inline int host_set_up(void **state)
{
    struct host *h = xnew(struct host);
    snprintf(h->top, sizeof(h->top), "/tmp/dcos-test-bootstrap-XXXXXX");
    assert_non_null(mkdtemp(h->top));
    assert_int_equal(chmod(h->top, 0755), 0); /* users of services go in, as on a node */
    h->n = (struct node){.prefix = h->top, .service = "dcos-marathon"};
    *state = h;
    return 0;
}

static inline int host_tear_down(void **state)
{
    struct host *h = *state;
    assert_int_equal(remove_tree(h->top, NULL), 0);
    buf_done(&h->n.env);
    free(h);
    return 0;
}

static inline void host_write(struct host *h, const char *path, const char *text, mode_t mode)
{
    _cleanup_free_ char *full = node_path(&h->n, path);
    _cleanup_free_ char *folder = xstrdup(full);
    *strrchr(folder, '/') = '\0';
    assert_int_equal(mkdir_all(folder, 0755, NULL), 0);
    assert_int_equal(file_write_atomic(full, text, strlen(text), mode, NULL), 0);
}

static inline void host_expect(struct host *h, const char *path, const char *text)
{
    _cleanup_buf_ struct buf found = BUF_INIT;
    _cleanup_free_ char *full = node_path(&h->n, path);
    assert_true(file_read(full, NODE_TEXT_MAX, &found, NULL) >= 0);
    assert_string_equal(buf_cstr(&found), text);
}

#endif
