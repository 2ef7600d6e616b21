/* Whatever an archive holds, nothing but the sandbox changes, and the limit holds. */

#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "transfer/extract.h"

enum { LIMIT = 64 * 1024 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_outer(const char *outer)
{
    DIR *dir = opendir(outer);
    unsigned n = 0;
    assert(dir);
    while (readdir(dir))
        n++;
    closedir(dir);
    assert(n == 3); /* ".", ".." and the sandbox */
    struct stat st;
    assert(stat(outer, &st) == 0 && (st.st_mode & 07777) == 0700);
}

static void extract(const uint8_t *data, size_t size, enum uri_content content)
{
    char outer[] = "/tmp/dcos-fuzz-extract-XXXXXX";
    assert(mkdtemp(outer));
    _cleanup_free_ char *sandbox = path_join(outer, "sandbox");
    assert(mkdir(sandbox, 0700) == 0);
    _cleanup_close_ int root = open(sandbox, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _cleanup_close_ int fd = memfd_create("archive", MFD_CLOEXEC);
    assert(root >= 0 && fd >= 0 && fd_write_all(fd, data, size) == 0);
    uint64_t bytes = 0;
    struct error err = ERROR_INIT;
    int r;
    if (content == URI_GZIP) {
        _cleanup_close_ int to = openat(root, "x", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        r = extract_gzip(fd, to, LIMIT, &bytes, &err);
        struct stat st;
        assert(to >= 0 && fstat(to, &st) == 0 && st.st_size <= LIMIT);
    } else {
        r = extract_archive(fd, content, root, LIMIT, &bytes, &err);
    }
    assert(r == 0 ? bytes <= LIMIT : err.msg[0] != '\0');
    check_outer(outer);
    assert(remove_tree(outer, NULL) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    extract(data, size, URI_TAR);
    extract(data, size, URI_ZIP);
    extract(data, size, URI_GZIP);
    return 0;
}
