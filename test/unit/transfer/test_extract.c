#include "transfer/extract.h"

#include <archive.h>
#include <archive_entry.h>

#include "sandbox.h"

struct member {
    const char *path;
    unsigned type; /* AE_IFREG and so on */
    const char *data, *hardlink, *symlink;
    unsigned mode;
};

enum archive_kind { TAR_PLAIN, TAR_GZIP, TAR_BZIP2, TAR_XZ, ZIP };

static void make_archive(
    const char *path, enum archive_kind kind, const struct member *members, size_t n)
{
    struct archive *a = archive_write_new();
    if (kind == ZIP)
        archive_write_set_format_zip(a);
    else
        archive_write_set_format_pax_restricted(a);
    if (kind == TAR_GZIP)
        archive_write_add_filter_gzip(a);
    else if (kind == TAR_BZIP2)
        archive_write_add_filter_bzip2(a);
    else if (kind == TAR_XZ)
        archive_write_add_filter_xz(a);
    assert_int_equal(archive_write_open_filename(a, path), ARCHIVE_OK);
    for (size_t i = 0; i < n; i++) {
        const struct member *m = &members[i];
        struct archive_entry *e = archive_entry_new();
        archive_entry_set_pathname(e, m->path);
        archive_entry_set_filetype(e, m->type);
        archive_entry_set_perm(e, m->mode ? m->mode : 0644);
        archive_entry_set_mtime(e, 1000000000, 0);
        archive_entry_set_size(e, m->data ? (la_int64_t)strlen(m->data) : 0);
        if (m->hardlink)
            archive_entry_set_hardlink(e, m->hardlink);
        if (m->symlink)
            archive_entry_set_symlink(e, m->symlink);
        assert_int_equal(archive_write_header(a, e), ARCHIVE_OK);
        if (m->data)
            assert_true(archive_write_data(a, m->data, strlen(m->data)) >= 0);
        archive_entry_free(e);
    }
    assert_int_equal(archive_write_close(a), ARCHIVE_OK);
    archive_write_free(a);
}

static int extract(struct sandbox *s, enum archive_kind kind, const struct member *members,
    size_t n, uint64_t max_bytes, struct error *err)
{
    _cleanup_free_ char *path = path_join(s->outer, "archive");
    make_archive(path, kind, members, n);
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(unlink(path), 0);
    uint64_t bytes = 0;
    *err = (struct error)ERROR_INIT;
    return extract_archive(fd, kind == ZIP ? URI_ZIP : URI_TAR, s->fd, max_bytes, &bytes, err);
}

static void test_every_format(void **state)
{
    struct sandbox *s = *state;
    static const struct member members[] = {
        {"./", AE_IFDIR, .mode = 0755},
        {"./folder/", AE_IFDIR, .mode = 0555},
        {"./folder/file", AE_IFREG, "contents", .mode = 06755},
        {"deep/er/file", AE_IFREG, "deep"},
        {"link", AE_IFLNK, .symlink = "folder/file", .mode = 0777},
        {"absolute", AE_IFLNK, .symlink = "/etc/ssl/certs", .mode = 0777},
        {"empty", AE_IFREG, ""},
    };
    for (enum archive_kind kind = TAR_PLAIN; kind <= ZIP; kind++) {
        struct error err;
        if (extract(s, kind, members, ARRAY_SIZE(members), 1000, &err) < 0)
            fail_msg("kind %d: %s", (int)kind, err.msg);
        assert_file(s, "folder/file", "contents");
        assert_file(s, "deep/er/file", "deep");
        assert_file(s, "link", "contents");
        assert_file(s, "empty", "");
        assert_int_equal(mode_of(s, "folder/file") & 07777, 0755); /* no set-id bits */
        assert_int_equal(mode_of(s, "folder") & 07777, 0755);
        assert_true(S_ISLNK(mode_of(s, "absolute")));
        struct stat st;
        assert_int_equal(fstatat(s->fd, "folder/file", &st, 0), 0);
        assert_int_equal(st.st_mtim.tv_sec, 1000000000);
        assert_int_equal(count_entries(s->path), 5);
        assert_int_equal(remove_tree(s->path, NULL), 0);
        assert_int_equal(mkdir(s->path, 0755), 0);
        close(s->fd);
        s->fd = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
}

static void test_hard_links(void **state)
{
    struct sandbox *s = *state;
    static const struct member members[] = {
        {"a/file", AE_IFREG, "one"},
        {"b/same", AE_IFREG, .hardlink = "./a/file"},
        {"a/file2", AE_IFREG, "two"},
    };
    struct error err;
    assert_int_equal(extract(s, TAR_PLAIN, members, ARRAY_SIZE(members), 1000, &err), 0);
    assert_file(s, "b/same", "one");
    struct stat a, b;
    assert_int_equal(fstatat(s->fd, "a/file", &a, 0), 0);
    assert_int_equal(fstatat(s->fd, "b/same", &b, 0), 0);
    assert_int_equal(a.st_ino, b.st_ino);
}

static void test_attacks(void **state)
{
    struct sandbox *s = *state;
    write_file(s->outer, "victim", "untouched");
    _cleanup_free_ char *victim = path_join(s->outer, "victim");
    const struct {
        struct member members[3];
        size_t n;
        const char *says;
    } cases[] = {
        {{{"../victim", AE_IFREG, "evil"}}, 1, "climbs out"},
        {{{"a/../../victim", AE_IFREG, "evil"}}, 1, "climbs out"},
        {{{victim, AE_IFREG, "evil"}}, 1, "absolute path"},
        {{{"up1", AE_IFLNK, .symlink = ".."}, {"up1/victim", AE_IFREG, "evil"}}, 2, "in the way"},
        {{{"up2", AE_IFLNK, .symlink = s->outer}, {"up2/victim", AE_IFREG, "evil"}}, 2,
            "in the way"},
        {{{"up3", AE_IFLNK, .symlink = ".."}, {"up3/", AE_IFDIR, .mode = 0700}}, 2, "in the way"},
        {{{"hard", AE_IFREG, .hardlink = "../victim"}}, 1, "climbs out"},
        {{{"hard", AE_IFREG, .hardlink = victim}}, 1, "absolute path"},
        {{{"up4", AE_IFLNK, .symlink = ".."}, {"hard", AE_IFREG, .hardlink = "up4/victim"}}, 2,
            "in the way"},
        {{{"soft", AE_IFLNK, .symlink = victim}, {"hard", AE_IFREG, .hardlink = "soft"}}, 2,
            "not a file"},
        {{{"hard", AE_IFREG, .hardlink = "nothing"}}, 1, "not there"},
        {{{"pipe", AE_IFIFO}}, 1, "a device, pipe or socket"},
        {{{"device", AE_IFCHR}}, 1, "a device, pipe or socket"},
        {{{"device", AE_IFBLK}}, 1, "a device, pipe or socket"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct error err;
        int r = extract(s, TAR_PLAIN, cases[i].members, cases[i].n, 1000, &err);
        if (r >= 0 || !strstr(err.msg, cases[i].says))
            fail_msg("case %zu: %d, '%s' lacks '%s'", i, r, err.msg, cases[i].says);
        _cleanup_buf_ struct buf b = BUF_INIT;
        assert_int_equal(file_read(victim, 100, &b, NULL), 0);
        assert_string_equal(buf_cstr(&b), "untouched");
        struct stat st;
        assert_int_equal(stat(victim, &st), 0);
        assert_int_equal(st.st_nlink, 1);
        assert_int_equal(stat(s->outer, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0700);
        assert_int_equal(count_entries(s->outer), 2);
    }
}

/* A file over a link replaces the link. */
static void test_file_over_link(void **state)
{
    struct sandbox *s = *state;
    write_file(s->outer, "victim", "untouched");
    static const struct member members[] = {
        {"x", AE_IFLNK, .symlink = "../victim"}, {"x", AE_IFREG, "mine"}};
    struct error err;
    assert_int_equal(extract(s, TAR_PLAIN, members, 2, 1000, &err), 0);
    assert_file(s, "x", "mine");
    assert_file(s, "../victim", "untouched");
}

static void test_limit(void **state)
{
    struct sandbox *s = *state;
    static const struct member members[] = {{"a", AE_IFREG, "12345"}, {"b", AE_IFREG, "67890"}};
    struct error err;
    for (enum archive_kind kind = TAR_PLAIN; kind <= ZIP; kind++) {
        assert_int_equal(extract(s, kind, members, 2, 9, &err), -EFBIG);
        assert_int_equal(faccessat(s->fd, "b", F_OK, 0), -1);
        assert_int_equal(count_entries(s->path), 1); /* and no temporary file */
        assert_int_equal(extract(s, kind, members, 2, 10, &err), 0);
        assert_int_equal(unlinkat(s->fd, "b", 0), 0);
    }
}

static int extract_text(
    struct sandbox *s, enum uri_content content, const void *p, size_t n, struct error *err)
{
    _cleanup_free_ char *path = path_join(s->outer, "archive");
    assert_int_equal(file_write_atomic(path, p, n, 0600, NULL), 0);
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    uint64_t bytes;
    return extract_archive(fd, content, s->fd, 1000, &bytes, err);
}

static void test_broken(void **state)
{
    struct sandbox *s = *state;
    static const char words[] = "certainly not an archive, however long one reads on in it";
    struct error err = ERROR_INIT;
    assert_int_equal(extract_text(s, URI_TAR, words, sizeof(words), &err), -EBADMSG);
    assert_non_null(strstr(err.msg, "the archive is broken"));
    assert_int_equal(extract_text(s, URI_ZIP, words, sizeof(words), &err), -EBADMSG);

    static const struct member members[] = {{"a", AE_IFREG, "12345"}, {"b", AE_IFREG, "67890"}};
    _cleanup_free_ char *path = path_join(s->outer, "whole");
    _cleanup_buf_ struct buf b = BUF_INIT;
    make_archive(path, TAR_GZIP, members, 2);
    assert_int_equal(file_read(path, 1 << 20, &b, NULL), 0);
    assert_int_equal(extract_text(s, URI_TAR, b.p, b.n / 2, &err), -EBADMSG);
}

static void test_gzip(void **state)
{
    struct sandbox *s = *state;
    /* printf 'hello\n' | gzip -n */
    static const unsigned char gz[] = {0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x03,
        0xcb, 0x48, 0xcd, 0xc9, 0xc9, 0xe7, 0x02, 0x00, 0x20, 0x30, 0x3a, 0x36, 0x06, 0x00, 0x00,
        0x00};
    static const struct {
        size_t n;
        unsigned char first;
        uint64_t max;
        int r;
    } cases[] = {{sizeof(gz), 0x1f, 6, 0}, {sizeof(gz), 0x1f, 5, -EFBIG},
        {sizeof(gz), 0x00, 6, -EBADMSG}, {sizeof(gz) - 10, 0x1f, 6, -EBADMSG},
        {0, 0x1f, 6, -EBADMSG}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        unsigned char bytes[sizeof(gz)];
        memcpy(bytes, gz, sizeof(gz));
        bytes[0] = cases[i].first;
        _cleanup_free_ char *path = path_join(s->outer, "x.gz");
        assert_int_equal(file_write_atomic(path, bytes, cases[i].n, 0600, NULL), 0);
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
        _cleanup_close_ int to = openat(s->fd, "x", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        uint64_t written = 0;
        struct error err = ERROR_INIT;
        int r = extract_gzip(fd, to, cases[i].max, &written, &err);
        if (r != cases[i].r)
            fail_msg("case %zu: %d %s", i, r, err.msg);
        if (r == 0)
            assert_file(s, "x", "hello\n");
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(test_##name, sandbox_set_up, sandbox_tear_down)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        CASE(every_format),
        CASE(hard_links),
        CASE(attacks),
        CASE(file_over_link),
        CASE(limit),
        CASE(broken),
        CASE(gzip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
