#include "pkgpanda/repository.h"

#include <openssl/evp.h>
#include <openssl/pem.h>

#include "host.h"
#include "pkgpanda/hash.h"

/* <top>/remote/packages/foo/foo--1.tar.xz with one file. */
static char *make_tarball(struct host *h, const char *text)
{
    _cleanup_free_ char *source = path_join(h->top, "source");
    _cleanup_free_ char *folder = path_join(h->top, "remote/packages/foo");
    char *path = path_join(folder, "foo--1.tar.xz");
    put(source, "pkginfo.json", "{}", 0644);
    put(source, "bin/foo", text, 0755);
    assert_int_equal(mkdir_all(folder, 0755, NULL), 0);
    int root = open(source, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(root >= 0 && fd >= 0);
    assert_int_equal(pack_tree(root, PACK_XZ, fd, NULL), 0);
    close(root);
    close(fd);
    return path;
}

static void test_add_and_remove(void **state)
{
    struct host *h = *state;
    struct error err = ERROR_INIT;
    _cleanup_strings_ struct strings ids = {0};
    _cleanup_free_ char *tarball = make_tarball(h, "1");
    _cleanup_free_ char *id = NULL;
    put(h->repository, ".new.foo--1/left", "from a crash", 0644);
    put(h->repository, "not-an-id/x", "", 0644);
    assert_int_equal(repository_id_of_tarball(tarball, &id, &err), 0);
    assert_string_equal(id, "foo--1");
    assert_int_equal(repository_add(h->repository, tarball, id, &err), 0);
    assert_text(h->repository, "foo--1/bin/foo", "1");
    assert_false(is_there(h->repository, ".new.foo--1"));
    assert_int_equal(repository_add(h->repository, "/nowhere", id, &err), 1);
    make_package(h, "bar--2", "{}", NULL);
    assert_int_equal(repository_list(h->repository, &ids, &err), 0);
    _cleanup_free_ char *list = strings_join(&ids);
    assert_string_equal(list, "bar--2, foo--1");
    assert_int_equal(repository_remove(h->repository, "foo--1", &err), 0);
    assert_false(is_there(h->repository, "foo--1"));
    assert_int_equal(repository_remove(h->repository, "foo--1", &err), 0);
    assert_int_equal(repository_remove(h->repository, "../root", &err), -EINVAL);
}

static void test_bad_tarballs(void **state)
{
    struct host *h = *state;
    struct error err = ERROR_INIT;
    _cleanup_free_ char *id = NULL;
    _cleanup_free_ char *tarball = make_tarball(h, "1");
    assert_int_equal(repository_id_of_tarball("/x/foo.tar.xz", &id, &err), -EINVAL);
    assert_int_equal(repository_id_of_tarball("/x/foo--1.tar.gz", &id, &err), -EINVAL);
    assert_int_equal(truncate(tarball, 100), 0);
    assert_int_equal(repository_add(h->repository, tarball, "foo--1", &err), -EBADMSG);
    assert_false(is_there(h->repository, "foo--1"));
    assert_false(is_there(h->repository, ".new.foo--1"));
}

static void make_key(struct host *h, const char *private, const char *public)
{
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    FILE *f = fopen(private, "w");
    assert_non_null(key);
    assert_int_equal(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL), 1);
    fclose(f);
    f = fopen(public, "w");
    assert_int_equal(PEM_write_PUBKEY(f, key), 1);
    fclose(f);
    EVP_PKEY_free(key);
}

static int fetch(struct host *h, const char *keys, struct error *err)
{
    _cleanup_(trust_freep)
    struct trust *trust = NULL;
    _cleanup_free_ char *url = xasprintf("file://%s/remote", h->top);
    assert_int_equal(trust_load(keys, &trust, err), 0);
    assert_int_equal(repository_remove(h->repository, "foo--1", err), 0);
    return repository_fetch(h->repository, url, "foo--1", trust, err);
}

static void test_trust(void **state)
{
    struct host *h = *state;
    struct error err = ERROR_INIT;
    _cleanup_free_ char *keys = path_join(h->top, "keys");
    _cleanup_free_ char *private = path_join(h->top, "private.pem");
    _cleanup_free_ char *stranger = path_join(h->top, "stranger.pem");
    _cleanup_free_ char *public = path_join(keys, "a.pem");
    _cleanup_free_ char *other = path_join(h->top, "other.pem");
    _cleanup_free_ char *tarball = make_tarball(h, "1");
    _cleanup_free_ char *signature = xasprintf("%s.sha256.sig", tarball);
    assert_int_equal(mkdir(keys, 0755), 0);
    make_key(h, private, public);
    make_key(h, stranger, other);
    /* Nothing published beside it: fine as long as nobody is trusted. */
    assert_int_equal(fetch(h, NULL, &err), 0);
    assert_int_equal(fetch(h, keys, &err), -ENOENT);
    assert_false(is_there(h->repository, "foo--1"));
    /* A digest alone does not do where signatures are demanded. */
    assert_int_equal(trust_publish(tarball, NULL, &err), 0);
    assert_int_equal(fetch(h, NULL, &err), 0);
    assert_int_equal(fetch(h, keys, &err), -ENOENT);
    assert_int_equal(trust_publish(tarball, stranger, &err), 0);
    assert_int_equal(fetch(h, keys, &err), -EBADMSG);
    assert_non_null(strstr(err.msg, "not by a trusted key"));
    assert_int_equal(trust_publish(tarball, private, &err), 0);
    assert_int_equal(fetch(h, keys, &err), 0);
    /* Other bytes, rightly signed: the digest tells. */
    _cleanup_free_ char *again = make_tarball(h, "changed");
    assert_string_equal(again, tarball);
    assert_int_equal(fetch(h, keys, &err), -EBADMSG);
    assert_int_equal(fetch(h, NULL, &err), -EBADMSG);
    assert_non_null(strstr(err.msg, "SHA-256"));
    assert_false(is_there(h->repository, "foo--1"));
    /* Another file's line, rightly signed. */
    _cleanup_free_ char *bar = path_join(h->top, "remote/packages/foo/bar--1.tar.xz");
    _cleanup_free_ char *bar_line = xasprintf("%s.sha256", bar);
    _cleanup_free_ char *bar_signature = xasprintf("%s.sha256.sig", bar);
    _cleanup_free_ char *line = xasprintf("%s.sha256", tarball);
    assert_int_equal(rename(tarball, bar), 0);
    assert_int_equal(trust_publish(bar, private, &err), 0);
    assert_int_equal(rename(bar, tarball), 0);
    assert_int_equal(rename(bar_line, line), 0);
    assert_int_equal(rename(bar_signature, signature), 0);
    assert_int_equal(fetch(h, keys, &err), -EBADMSG);
    assert_non_null(strstr(err.msg, "about another file"));
    put(keys, "b.pem", "no key", 0644);
    struct trust *trust = NULL;
    assert_int_equal(trust_load(keys, &trust, &err), -EBADMSG);
}

static int fetch_known(struct host *h, const char *digests, bool only, struct error *err)
{
    _cleanup_(trust_freep)
    struct trust *trust = NULL;
    _cleanup_free_ char *url = xasprintf("file://%s/remote", h->top);
    assert_int_equal(trust_load(NULL, &trust, err), 0);
    int r = trust_load_digests(trust, digests, only, err);
    assert_int_equal(repository_remove(h->repository, "foo--1", err), 0);
    return r < 0 ? r : repository_fetch(h->repository, url, "foo--1", trust, err);
}

/* What the script that installs a host says comes before what is beside the file. */
static void test_known_digests(void **state)
{
    struct host *h = *state;
    struct error err = ERROR_INIT;
    char sum[SHA256_TEXT];
    _cleanup_free_ char *tarball = make_tarball(h, "1");
    _cleanup_free_ char *digests = path_join(h->top, "digests");
    _cleanup_close_ int fd = open(tarball, O_RDONLY | O_CLOEXEC);
    assert_int_equal(sha256_fd(fd, sum, &err), 0);
    _cleanup_free_ char *lines = xasprintf("%064d  bar--1.tar.xz\n%s  foo--1.tar.xz\n", 0, sum);
    put(h->top, "digests", lines, 0644);
    assert_int_equal(fetch_known(h, digests, true, &err), 0);
    assert_true(is_there(h->repository, "foo--1"));
    /* Other bytes, with a digest beside them that fits. */
    _cleanup_free_ char *again = make_tarball(h, "swapped");
    assert_int_equal(trust_publish(again, NULL, &err), 0);
    assert_int_equal(fetch_known(h, digests, true, &err), -EBADMSG);
    assert_non_null(
        strstr(err.msg, "foo--1.tar.xz is not what the installer made: its SHA-256 is "));
    assert_int_equal(fetch_known(h, digests, false, &err), -EBADMSG);
    assert_false(is_there(h->repository, "foo--1"));
    /* Not named at all. */
    lines[strcspn(lines, "\n") + 1] = '\0';
    put(h->top, "digests", lines, 0644);
    assert_int_equal(fetch_known(h, digests, true, &err), -EBADMSG);
    assert_non_null(strstr(err.msg, "foo--1.tar.xz is not among what the installer made"));
    assert_int_equal(fetch_known(h, digests, false, &err), 0);
    /* A file of nothing says nothing; one that is damaged is no file of digests. */
    put(h->top, "digests", "", 0644);
    assert_int_equal(fetch_known(h, digests, true, &err), 0);
    put(h->top, "digests", "abc  foo--1.tar.xz\n", 0644);
    assert_int_equal(fetch_known(h, digests, true, &err), -EBADMSG);
}

static void test_same_bytes(void **state)
{
    struct host *h = *state;
    _cleanup_buf_ struct buf first = BUF_INIT, second = BUF_INIT;
    _cleanup_free_ char *tarball = make_tarball(h, "same");
    assert_int_equal(file_read(tarball, 1 << 20, &first, NULL), 0);
    _cleanup_free_ char *source = path_join(h->top, "source");
    assert_int_equal(remove_tree(source, NULL), 0);
    umask(077);
    put(source, "bin/foo", "other", 0755); /* in another order, at another time */
    umask(022);
    _cleanup_free_ char *bin = path_join(source, "bin");
    assert_int_equal(chmod(bin, 0755), 0);
    assert_int_equal(chmod(source, 0755), 0);
    _cleanup_free_ char *again = make_tarball(h, "same");
    assert_int_equal(file_read(again, 1 << 20, &second, NULL), 0);
    assert_int_equal(first.n, second.n);
    assert_memory_equal(first.p, second.p, first.n);
}

int main(void)
{
    umask(022);
    const struct CMUnitTest tests[] = {HOST_TEST(test_add_and_remove), HOST_TEST(test_bad_tarballs),
        HOST_TEST(test_trust), HOST_TEST(test_known_digests), HOST_TEST(test_same_bytes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
