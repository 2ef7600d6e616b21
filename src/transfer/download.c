#include "transfer/download.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"

enum {
    REDIRECTS_MAX = 10,
    COPY_CHUNK = 1 << 20,
    BUFFER_SIZE = 256 * 1024,
    HTTP_OK = 200,
    FTP_TRANSFER_COMPLETE = 226,
};

/* ---- local files ---- */

static int too_large(struct error *err, uint64_t max_bytes)
{
    return error_set(
        err, -EFBIG, "larger than the limit of %llu bytes", (unsigned long long)max_bytes);
}

static int copy_by_hand(
    int from, int to, uint64_t max_bytes, uint64_t *ret_bytes, struct error *err)
{
    _cleanup_free_ char *chunk = xmalloc(COPY_CHUNK);
    uint64_t total = 0;
    for (;;) {
        ssize_t n = pread(from, chunk, COPY_CHUNK, (off_t)total);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_errno(err, -errno, "reading");
        if (n == 0)
            break;
        if ((uint64_t)n > max_bytes - total)
            return too_large(err, max_bytes);
        int r = fd_write_all(to, chunk, (size_t)n);
        if (r < 0)
            return error_errno(err, r, "writing");
        total += (uint64_t)n;
    }
    *ret_bytes = total;
    return 0;
}

int copy_file(int from, int to, uint64_t max_bytes, uint64_t *ret_bytes, struct error *err)
{
    struct stat st;
    if (fstat(from, &st) < 0)
        return error_errno(err, -errno, "reading");
    if ((uint64_t)st.st_size > max_bytes)
        return too_large(err, max_bytes);
    if (ioctl(to, FICLONE, from) == 0 && fstat(to, &st) == 0 && (uint64_t)st.st_size <= max_bytes) {
        *ret_bytes = (uint64_t)st.st_size;
        return 0;
    }
    return copy_by_hand(from, to, max_bytes, ret_bytes, err);
}

static int copy_path(
    const char *path, int to, uint64_t max_bytes, uint64_t *ret_bytes, struct error *err)
{
    /* Not to hang on a pipe that nobody writes to. */
    _cleanup_close_ int from = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (from < 0)
        return error_errno(err, -errno, "%.300s", path);
    struct stat st;
    if (fstat(from, &st) < 0)
        return error_errno(err, -errno, "%.300s", path);
    if (!S_ISREG(st.st_mode))
        return error_set(err, -EINVAL, "%.300s is not a regular file", path);
    return copy_file(from, to, max_bytes, ret_bytes, err);
}

/* ---- the network ---- */

struct transfer {
    CURL *curl;
    const struct uri *uri;
    const struct download_options *options;
    int fd;
    uint64_t total;
    int failed; /* why the callback stopped it */
};

/* 0, or the answer that is not success. The body of an error page is never taken for the file. */
static long bad_answer(const struct transfer *t, bool complete)
{
    long code = 0;
    curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &code);
    if (t->uri->kind == URI_HTTP)
        return code == HTTP_OK ? 0 : code;
    /* FTP says how it went only after the data. */
    return !complete || code == FTP_TRANSFER_COMPLETE ? 0 : code;
}

static size_t on_data(char *data, size_t size, size_t n, void *userdata)
{
    struct transfer *t = userdata;
    n *= size;
    if (bad_answer(t, false))
        return 0;
    if (n > t->options->max_bytes - t->total) {
        t->failed = -EFBIG;
        return 0;
    }
    int r = fd_write_all(t->fd, data, n);
    if (r < 0) {
        t->failed = r;
        return 0;
    }
    t->total += n;
    return n;
}

static void set_options(struct transfer *t, char *message)
{
    CURL *c = t->curl;
    curl_easy_setopt(c, CURLOPT_URL, t->uri->text);
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https,ftp,ftps");
    curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(c, CURLOPT_MAXREDIRS, (long)REDIRECTS_MAX);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_USERAGENT, "dcos/" DCOS_VERSION);
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, message);
    curl_easy_setopt(c, CURLOPT_BUFFERSIZE, (long)BUFFER_SIZE);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, t);
    if (t->options->max_bytes < INT64_MAX)
        curl_easy_setopt(c, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)t->options->max_bytes);
    if (t->options->stall_timeout_us > 0) {
        int64_t us = t->options->stall_timeout_us;
        long seconds = (long)MIN((us + USEC_PER_SEC - 1) / USEC_PER_SEC, INT64_C(1000000));
        curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
        curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, seconds);
        curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, seconds);
    }
}

static int failure(const struct transfer *t, CURLcode code, const char *message, struct error *err)
{
    if (t->failed == -EFBIG || code == CURLE_FILESIZE_EXCEEDED)
        return too_large(err, t->options->max_bytes);
    if (t->failed < 0)
        return error_errno(err, t->failed, "writing");
    long answer = code == CURLE_OK || code == CURLE_WRITE_ERROR ? bad_answer(t, code == CURLE_OK)
                                                                : 0;
    if (answer)
        return error_set(err, -EREMOTEIO, "the server answered %ld instead of %d", answer,
            t->uri->kind == URI_HTTP ? HTTP_OK : FTP_TRANSFER_COMPLETE);
    if (code == CURLE_OK)
        return 0;
    return error_set(err, code == CURLE_OPERATION_TIMEDOUT ? -ETIMEDOUT : -EREMOTEIO, "%s",
        *message ? message : curl_easy_strerror(code));
}

static void init_once(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

static int transfer(const struct uri *u, int fd, const struct download_options *options,
    uint64_t *ret_bytes, struct error *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, init_once);
    char message[CURL_ERROR_SIZE] = "";
    struct transfer t = {curl_easy_init(), u, options, fd, 0, 0};
    if (!t.curl)
        return error_set(err, -ENOMEM, "libcurl cannot be started");
    set_options(&t, message);
    CURLcode code = curl_easy_perform(t.curl);
    int r = failure(&t, code, message, err);
    if (options->ret_status)
        curl_easy_getinfo(t.curl, CURLINFO_RESPONSE_CODE, options->ret_status);
    curl_easy_cleanup(t.curl);
    if (r == 0)
        *ret_bytes = t.total;
    return r;
}

int download(const struct uri *u, int fd, const struct download_options *options,
    uint64_t *ret_bytes, struct error *err)
{
    if (u->kind == URI_FILE)
        return copy_path(u->path, fd, options->max_bytes, ret_bytes, err);
    return transfer(u, fd, options, ret_bytes, err);
}

int download_text(const char *url, int64_t stall_timeout_us, uint64_t max_bytes, struct buf *ret,
    struct error *err)
{
    const struct download_options options = {
        .stall_timeout_us = stall_timeout_us, .max_bytes = max_bytes};
    struct uri uri = {0};
    uint64_t bytes = 0;
    int r = uri_parse(url, &uri, err);
    _cleanup_close_ int fd = memfd_create("download", MFD_CLOEXEC);
    if (r == 0 && fd < 0)
        r = error_errno(err, -errno, "memory");
    if (r == 0)
        r = download(&uri, fd, &options, &bytes, err);
    uri_done(&uri);
    if (r < 0)
        return r;
    char *to = buf_reserve(ret, bytes + 1);
    ssize_t got = pread(fd, to, bytes, 0);
    if (got < 0)
        return error_errno(err, -errno, "memory");
    buf_commit(ret, (size_t)got);
    return 0;
}
