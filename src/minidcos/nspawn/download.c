/* minidcos nspawn download-installer: a large file by HTTP, in as many pieces as it takes. */

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "minidcos/nspawn/commands.h"
#include "pkgpanda/hash.h"
#include "pkgpanda/trust.h"
#include "transfer/uri.h"

enum {
    CONNECT_S = 30,
    STALL_S = 60,
    TRIES = 3,
    PAUSE_MS = 200,
    VALIDATOR_MAX = 1024,
    STEP_PERCENT = 5,
};

static const char NAME[] = "dcos_generate_config.sh";

struct transfer {
    const char *url, *shown; /* the second without passwords */
    int fd;
    uint64_t length, at;
    struct buf validator; /* ETag, else Last-Modified, of the answer to HEAD */
    struct buf *text;     /* where a small answer goes, instead of fd */
    int failure;          /* errno of our own file */
    bool progress;
    unsigned percent;
};

/* ---- libcurl ---- */

static void tell(struct transfer *t)
{
    unsigned percent = t->length ? (unsigned)(t->at * 100 / t->length) : 100;
    if (!t->progress || percent < t->percent + STEP_PERCENT)
        return;
    t->percent = percent;
    fprintf(stderr, "\r%3u %% of %llu MB", percent, (unsigned long long)t->length >> 20);
    fflush(stderr);
}

static size_t on_body(char *p, size_t size, size_t n, void *userdata)
{
    struct transfer *t = userdata;
    n *= size;
    if (t->text) {
        if (t->text->n + n > TRUST_DIGEST_MAX)
            return 0;
        buf_append(t->text, p, n);
        return n;
    }
    /* More than the length is another file than the one that was asked about. */
    if (n > t->length - t->at) {
        t->failure = -EFBIG;
        return 0;
    }
    t->failure = fd_write_all(t->fd, p, n);
    if (t->failure < 0)
        return 0;
    t->at += n;
    tell(t);
    return n;
}

static size_t on_header(char *p, size_t size, size_t n, void *userdata)
{
    struct transfer *t = userdata;
    struct str line = str_trim((struct str){p, size * n}), name;
    if (str_has_prefix(line, STR("HTTP/"))) {
        buf_clear(&t->validator); /* of an answer that led elsewhere */
    } else if (str_split(&line, ':', &name) && line.n < VALIDATOR_MAX) {
        bool etag = str_ieq_c(name, "etag");
        line = str_trim(line);
        if (etag && !str_has_prefix(line, STR("W/")))
            buf_clear(&t->validator);
        else if (!str_ieq_c(name, "last-modified") || t->validator.n)
            return size * n;
        buf_append(&t->validator, line.p, line.n);
    }
    return size * n;
}

static CURL *start(struct transfer *t, const char *url, char *why)
{
    CURL *h = curl_easy_init();
    if (!h)
        return NULL;
    curl_easy_setopt(h, CURLOPT_URL, url);
    curl_easy_setopt(h, CURLOPT_ERRORBUFFER, why);
    curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(h, CURLOPT_FAILONERROR, 1L);
    curl_easy_setopt(h, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(h, CURLOPT_MAXREDIRS, 10L);
    curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http,https,file");
    curl_easy_setopt(h, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_S);
    curl_easy_setopt(h, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(h, CURLOPT_LOW_SPEED_TIME, (long)STALL_S);
    curl_easy_setopt(h, CURLOPT_USERAGENT, "minidcos/" DCOS_VERSION);
    curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(h, CURLOPT_WRITEDATA, t);
    return h;
}

static int failed(const struct transfer *t, CURLcode code, const char *why, struct error *err)
{
    if (t->failure == -EFBIG)
        return error_set(err, -EFBIG, "%s sent more than the %llu bytes that it announced",
            t->shown, (unsigned long long)t->length);
    if (t->failure < 0)
        return error_errno(err, t->failure, "cannot write");
    return error_set(err, code == CURLE_HTTP_RETURNED_ERROR ? -ENOENT : -EIO, "%s: %s", t->shown,
        *why ? why : curl_easy_strerror(code));
}

/* How long it is, and which of its versions. */
static int ask(struct transfer *t, struct error *err)
{
    char why[CURL_ERROR_SIZE] = "";
    curl_off_t length = -1;
    CURL *h = start(t, t->url, why);
    if (!h)
        return error_set(err, -ENOMEM, "libcurl");
    curl_easy_setopt(h, CURLOPT_NOBODY, 1L);
    curl_easy_setopt(h, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(h, CURLOPT_HEADERDATA, t);
    CURLcode code = curl_easy_perform(h);
    if (code == CURLE_OK)
        curl_easy_getinfo(h, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    curl_easy_cleanup(h);
    if (code != CURLE_OK)
        return failed(t, code, why, err);
    if (length < 0)
        return error_set(err, -EBADMSG, "%s does not tell its length", t->shown);
    t->length = (uint64_t)length;
    return 0;
}

/* From where the file ends. Returns 1 when it is whole, 0 when another try may help. */
static int attempt(struct transfer *t, struct error *err)
{
    char why[CURL_ERROR_SIZE] = "";
    struct curl_slist *headers = NULL;
    CURL *h = start(t, t->url, why);
    if (!h)
        return error_set(err, -ENOMEM, "libcurl");
    if (t->at > 0) {
        curl_easy_setopt(h, CURLOPT_RESUME_FROM_LARGE, (curl_off_t)t->at);
        if (t->validator.n) {
            _cleanup_free_ char *line = xasprintf("If-Range: %s", buf_cstr(&t->validator));
            headers = curl_slist_append(headers, line);
            curl_easy_setopt(h, CURLOPT_HTTPHEADER, headers);
        }
    }
    CURLcode code = curl_easy_perform(h);
    curl_slist_free_all(headers);
    curl_easy_cleanup(h);
    if (code == CURLE_OK && t->at == t->length)
        return 1;
    if (code == CURLE_HTTP_RETURNED_ERROR || t->failure < 0)
        return failed(t, code, why, err);
    /* A server that knows no ranges, or has another version by now, starts from the beginning. */
    if (code == CURLE_RANGE_ERROR) {
        t->at = 0;
        if (ftruncate(t->fd, 0) < 0 || lseek(t->fd, 0, SEEK_SET) < 0)
            return error_errno(err, -errno, "cannot write");
    } else if (code == CURLE_OK) {
        error_set(err, -EIO, "%s: %llu of %llu bytes came", t->shown, (unsigned long long)t->at,
            (unsigned long long)t->length);
    } else {
        failed(t, code, why, err);
    }
    return 0;
}

static int fetch(struct transfer *t, struct error *err)
{
    int r = t->at == t->length;
    for (int i = 0; r == 0 && i < TRIES; i++) {
        if (i > 0)
            (void)poll(NULL, 0, PAUSE_MS << i); /* a pause */
        r = attempt(t, err);
    }
    if (t->progress && t->percent)
        fputc('\n', stderr);
    return r > 0 ? 0 : r < 0 ? r : -EIO;
}

/* The line of `<url>.sha256`; empty when none is published. */
static int fetch_digest(const struct transfer *t, struct buf *line, struct error *err)
{
    _cleanup_free_ char *url = xasprintf("%s.sha256", t->url);
    _cleanup_free_ char *shown = xasprintf("%s.sha256", t->shown);
    struct transfer small = {.url = url, .shown = shown, .text = line};
    char why[CURL_ERROR_SIZE] = "";
    long status = 0;
    /* Where words follow the name, there is no telling what the digest's name would be. */
    if (strchr(t->url, '?'))
        return 0;
    CURL *h = start(&small, url, why);
    if (!h)
        return error_set(err, -ENOMEM, "libcurl");
    CURLcode code = curl_easy_perform(h);
    curl_easy_getinfo(h, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_cleanup(h);
    if (code == CURLE_OK)
        return 0;
    buf_clear(line);
    if (code == CURLE_FILE_COULDNT_READ_FILE || status == 404 || status == 403 || status == 410)
        return 0;
    return failed(&small, code, why, err);
}

/* ---- files ---- */

/* What a part is a part of: one that was begun of another version is begun anew. */
static int open_part(struct transfer *t, const char *part, struct error *err)
{
    _cleanup_free_ char *of_path = xasprintf("%s.of", part);
    _cleanup_buf_ struct buf text = BUF_INIT, known = BUF_INIT;
    char hash[SHA1_TEXT];
    buf_printf(
        &text, "%s\n%s\n%llu", t->url, buf_cstr(&t->validator), (unsigned long long)t->length);
    sha1_text(text.p, text.n, hash);
    t->fd = open(part, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (t->fd < 0)
        return error_errno(err, -errno, "cannot write %s", part);
    if (flock(t->fd, LOCK_EX | LOCK_NB) < 0)
        return error_set(err, -EBUSY, "another command is downloading to %s", part);
    struct stat st;
    bool same = t->validator.n && file_read(of_path, SHA1_TEXT, &known, NULL) == 0 &&
                str_eq_c(buf_str(&known), hash) && fstat(t->fd, &st) == 0 &&
                (uint64_t)st.st_size <= t->length;
    if (!same && ftruncate(t->fd, 0) < 0)
        return error_errno(err, -errno, "cannot write %s", part);
    off_t end = lseek(t->fd, 0, SEEK_END);
    t->at = end > 0 ? (uint64_t)end : 0;
    if (t->at > 0)
        fprintf(stderr, "going on after %llu bytes\n", (unsigned long long)t->at);
    return same ? 0 : file_write_atomic(of_path, hash, strlen(hash), 0600, err);
}

static bool is_there(const struct transfer *t, const char *path, const char *name, struct str line)
{
    struct stat st;
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd >= 0 && line.n && fstat(fd, &st) == 0 && (uint64_t)st.st_size == t->length &&
           trust_check_digest(fd, name, line, NULL) == 0;
}

static int download_to(struct transfer *t, const char *path, struct error *err)
{
    _cleanup_buf_ struct buf line = BUF_INIT;
    _cleanup_free_ char *part = xasprintf("%s.part", path);
    _cleanup_free_ char *of = xasprintf("%s.part.of", path);
    const char *name = strrchr(t->url, '/') + 1;
    int r = ask(t, err);
    if (r == 0)
        r = fetch_digest(t, &line, err);
    if (r < 0)
        return r;
    if (is_there(t, path, name, buf_str(&line))) {
        fprintf(stderr, "%s is there already\n", path);
        return 0;
    }
    r = open_part(t, part, err);
    if (r == 0) {
        r = fetch(t, err);
        if (r < 0 && t->failure != -EFBIG)
            return error_prefix(err, r, "%s stays, and the same command goes on with it", part);
    }
    if (r == 0 && line.n)
        r = trust_check_digest(t->fd, name, buf_str(&line), err);
    else if (r == 0)
        fprintf(stderr, "no digest is published: the length is right, nothing else is known\n");
    if (r == 0 && (fchmod(t->fd, 0644) < 0 || fsync(t->fd) < 0 || rename(part, path) < 0))
        return error_errno(err, -errno, "cannot make %s", path);
    /* What is another's part is left alone. */
    if (r < 0 && r != -EBUSY)
        unlink(part);
    if (r != -EBUSY)
        unlink(of);
    return r;
}

/* ---- the command ---- */

/* By a URL of its own or by the name of a channel in a repository. */
static char *find_url(const struct invocation *inv, struct error *err)
{
    const char *version = option_text(inv, "dcos-version") ?: "stable";
    const char *base = option_text(inv, "repository") ?: getenv("MINIDCOS_REPOSITORY");
    if (strstr(version, "://"))
        return has_suffix(version, "/") ? xasprintf("%s%s", version, NAME) : xstrdup(version);
    if (!base || !strstr(base, "://")) {
        error_set(err, -EINVAL,
            "'%s' is a channel of a repository: name the repository's address with "
            "--repository=URL or MINIDCOS_REPOSITORY, or give --dcos-version an address",
            version);
        return NULL;
    }
    size_t n = strlen(base);
    while (n > 0 && base[n - 1] == '/')
        n--;
    return xasprintf("%.*s/%s%s%s", (int)n, base, version,
        *version && !has_suffix(version, "/") ? "/" : "", NAME);
}

static int run_download(const struct invocation *inv, struct error *err)
{
    const char *wanted = option_text(inv, "download-path") ?: "./dcos_generate_config.sh";
    _cleanup_free_ char *url = find_url(inv, err);
    if (!url)
        return usage_error(err);
    _cleanup_free_ char *shown = uri_display(url);
    struct stat st;
    bool folder = has_suffix(wanted, "/") || (stat(wanted, &st) == 0 && S_ISDIR(st.st_mode));
    _cleanup_free_ char *path = folder ? path_join(wanted, NAME) : xstrdup(wanted);
    _cleanup_free_ char *above = xstrdup(path);
    int r = strchr(path, '/') ? mkdir_all(dirname(above), 0755, err) : 0;
    if (r < 0)
        return r;
    fprintf(stderr, "%s\n", shown);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    struct transfer t = {
        .url = url, .shown = shown, .fd = -1, .progress = isatty(STDERR_FILENO) == 1};
    r = download_to(&t, path, err);
    fd_close(t.fd);
    buf_done(&t.validator);
    curl_global_cleanup();
    if (r == 0)
        printf("%s\n", path);
    return r;
}

static const struct option_spec options[] = {
    {"dcos-version", 0, OPTION_STRING,
        "stable, testing/master, testing/pull/N or another channel, or an address (stable)"},
    {"download-path", 0, OPTION_STRING, "File or folder (./dcos_generate_config.sh)"},
    {"repository", 0, OPTION_STRING, "Address that channels are below (MINIDCOS_REPOSITORY)"},
    OPTIONS_COMMON};

const struct command nspawn_download = {.name = "download-installer",
    .summary = "Download an installer; what was cut off goes on where it ended",
    .examples = "    minidcos nspawn download-installer --repository=https://example.com/dcos "
                "--dcos-version=testing/master",
    OPTIONS(options),
    .run = run_download};
