#ifndef DCOS_TEST_TRANSFER_SANDBOX_H
#define DCOS_TEST_TRANSFER_SANDBOX_H

/* A folder with a sandbox in it, so that tests see what gets out of the sandbox. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "unit.h"

struct sandbox {
    char outer[64];
    char *path;
    int fd;
};

static inline int sandbox_set_up(void **state)
{
    struct sandbox *s = xnew(struct sandbox);
    memcpy(s->outer, "/tmp/dcos-test-transfer-XXXXXX", sizeof("/tmp/dcos-test-transfer-XXXXXX"));
    assert_non_null(mkdtemp(s->outer));
    s->path = path_join(s->outer, "sandbox");
    assert_int_equal(mkdir(s->path, 0755), 0);
    s->fd = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(s->fd >= 0);
    *state = s;
    return 0;
}

static inline int sandbox_tear_down(void **state)
{
    struct sandbox *s = *state;
    close(s->fd);
    assert_int_equal(remove_tree(s->outer, NULL), 0);
    free(s->path);
    free(s);
    return 0;
}

static inline unsigned count_entries(const char *path)
{
    unsigned n = 0;
    DIR *dir = opendir(path);
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir));)
        n += e->d_name[0] != '.' || (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0);
    closedir(dir);
    return n;
}

static inline void write_file(const char *directory, const char *name, const char *text)
{
    _cleanup_free_ char *path = path_join(directory, name);
    assert_int_equal(file_write_atomic(path, text, strlen(text), 0644, NULL), 0);
}

static inline void assert_file(const struct sandbox *s, const char *name, const char *text)
{
    _cleanup_free_ char *path = path_join(s->path, name);
    _cleanup_buf_ struct buf b = BUF_INIT;
    struct error err = ERROR_INIT;
    if (file_read(path, 1 << 20, &b, &err) < 0)
        fail_msg("%s", err.msg);
    assert_string_equal(buf_cstr(&b), text);
}

static inline mode_t mode_of(const struct sandbox *s, const char *name)
{
    struct stat st;
    assert_int_equal(fstatat(s->fd, name, &st, AT_SYMLINK_NOFOLLOW), 0);
    return st.st_mode;
}

#endif
