#include "process/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/parse.h"

enum { NAME_BUFFER = 16 * 1024, DOWNLOAD_CHUNK = 64 * 1024 };

int files_status(int error)
{
    switch (error) {
    case -ENOENT:
        return 404;
    case -EACCES:
    case -EPERM:
        return 403;
    case -EINVAL:
    case -EISDIR:
    case -ENAMETOOLONG:
        return 400;
    default:
        return 500;
    }
}

void files_mode_text(mode_t mode, char ret[11])
{
    static const char bits[] = "rwxrwxrwx";
    ret[0] = S_ISDIR(mode)    ? 'd'
             : S_ISLNK(mode)  ? 'l'
             : S_ISFIFO(mode) ? 'p'
             : S_ISSOCK(mode) ? 's'
             : S_ISCHR(mode)  ? 'c'
             : S_ISBLK(mode)  ? 'b'
                              : '-';
    for (unsigned i = 0; i < 9; i++)
        ret[1 + i] = mode & (0400u >> i) ? bits[i] : '-';
    ret[10] = '\0';
}

/* ---- listing ---- */

void files_list_done(struct files_list *l)
{
    VEC_FOREACH (e, &l->entries)
        free(e->path);
    vec_done(&l->entries);
}

static void owner_names(struct files_entry *e)
{
    char buffer[NAME_BUFFER];
    struct passwd user, *found_user = NULL;
    struct group group, *found_group = NULL;
    if (getpwuid_r(e->st.st_uid, &user, buffer, sizeof(buffer), &found_user) == 0 && found_user)
        snprintf(e->uid, sizeof(e->uid), "%s", found_user->pw_name);
    else
        snprintf(e->uid, sizeof(e->uid), "%u", (unsigned)e->st.st_uid);
    if (getgrgid_r(e->st.st_gid, &group, buffer, sizeof(buffer), &found_group) == 0 && found_group)
        snprintf(e->gid, sizeof(e->gid), "%s", found_group->gr_name);
    else
        snprintf(e->gid, sizeof(e->gid), "%u", (unsigned)e->st.st_gid);
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct files_entry *)a)->path, ((const struct files_entry *)b)->path);
}

int files_list(
    const struct file_source *source, struct str path, struct files_list *ret, struct error *err)
{
    int fd = source->open(source->userdata, path, err);
    if (fd < 0)
        return fd;
    DIR *dir = fdopendir(fd);
    if (!dir) {
        int r = -errno;
        fd_close(fd);
        return r == -ENOTDIR ? 0 : error_errno(err, r, "cannot read the folder");
    }
    while (path.n > 1 && path.p[path.n - 1] == '/')
        path.n--;
    struct dirent *d;
    while ((d = readdir(dir)) && ret->entries.n < FILES_LIST_MAX) {
        if (streq(d->d_name, ".") || streq(d->d_name, ".."))
            continue;
        struct files_entry e = {0};
        if (fstatat(dirfd(dir), d->d_name, &e.st, AT_SYMLINK_NOFOLLOW) < 0)
            continue; /* gone meanwhile */
        e.path = xasprintf(STR_FMT "/%s", STR_ARG(path), d->d_name);
        owner_names(&e);
        vec_push(&ret->entries, e);
    }
    closedir(dir);
    if (ret->entries.n)
        qsort(ret->entries.items, ret->entries.n, sizeof(*ret->entries.items), by_path);
    return 0;
}

/* ---- reading ---- */

static int open_file(const struct file_source *source, struct str path, struct stat *st,
    int *ret_fd, struct error *err)
{
    _cleanup_close_ int fd = source->open(source->userdata, path, err);
    if (fd < 0)
        return TAKE_FD(fd);
    if (fstat(fd, st) < 0)
        return error_errno(err, -errno, "cannot read the file");
    if (S_ISDIR(st->st_mode))
        return error_set(err, -EISDIR, "'" STR_FMT "' is a directory", STR_ARG(path));
    if (!S_ISREG(st->st_mode))
        return error_set(err, -EINVAL, "'" STR_FMT "' is not a regular file", STR_ARG(path));
    *ret_fd = TAKE_FD(fd);
    return 0;
}

int files_read(const struct file_source *source, struct str path, int64_t offset, int64_t length,
    struct buf *out, int64_t *ret_size, struct error *err)
{
    struct stat st;
    _cleanup_close_ int fd = -1;
    int r = open_file(source, path, &st, &fd, err);
    if (r < 0)
        return r;
    *ret_size = st.st_size;
    if (offset < 0 || offset >= st.st_size)
        return 0;
    int64_t left = MIN(st.st_size - offset, (int64_t)FILES_READ_MAX);
    if (length >= 0)
        left = MIN(left, length);
    while (left > 0) {
        char *to = buf_reserve(out, (size_t)left);
        ssize_t n = pread(fd, to, (size_t)left, offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_errno(err, -errno, "cannot read the file");
        if (n == 0)
            break;
        buf_commit(out, (size_t)n);
        offset += n;
        left -= n;
    }
    return 0;
}

/* ---- HTTP ---- */

static bool path_param(const struct file_source *source, struct http_request *req, struct str *ret)
{
    *ret = http_request_param(req, "path");
    if (!ret->n)
        http_respond_text(req, 400, "Expecting 'path=value' in query.\n");
    else if (source->may && !source->may(source->userdata, req, *ret))
        http_respond_text(req, 403, "403 Forbidden.");
    else
        return true;
    return false;
}

static void browse(const struct file_source *source, struct http_request *req)
{
    struct str path;
    if (!path_param(source, req, &path))
        return;
    struct files_list list = {0};
    struct error err = ERROR_INIT;
    int r = files_list(source, path, &list, &err);
    if (r < 0)
        return http_respond_text(req, files_status(r), "%s.\n", err.msg);
    struct buf out = BUF_INIT;
    struct json_writer w;
    jw_init(&w, &out);
    jw_begin_array(&w);
    VEC_FOREACH (e, &list.entries) {
        char mode[11];
        files_mode_text(e->st.st_mode, mode);
        jw_begin_object(&w);
        jw_field_string(&w, "gid", e->gid);
        jw_field_string(&w, "mode", mode);
        jw_field_double(&w, "mtime", (double)e->st.st_mtim.tv_sec);
        jw_field_i64(&w, "nlink", (int64_t)e->st.st_nlink);
        jw_field_string(&w, "path", e->path);
        jw_field_i64(&w, "size", e->st.st_size);
        jw_field_string(&w, "uid", e->uid);
        jw_end_object(&w);
    }
    jw_end_array(&w);
    files_list_done(&list);
    http_respond_jsonp(req, &out);
    buf_done(&out);
}

/* -1 and an absent parameter mean the same. */
static bool number_param(struct http_request *req, const char *name, int64_t *ret)
{
    struct str text = http_request_param(req, name);
    *ret = -1;
    if (!text.p)
        return true;
    if (parse_i64(text, ret) < 0) {
        http_respond_text(
            req, 400, "Failed to parse %s: '" STR_FMT "' is no number.\n", name, STR_ARG(text));
        return false;
    }
    if (*ret < -1) {
        http_respond_text(req, 400, "Negative %s provided: " STR_FMT ".\n", name, STR_ARG(text));
        return false;
    }
    return true;
}

static void read_part(const struct file_source *source, struct http_request *req)
{
    struct str path;
    int64_t offset, length, size;
    if (!path_param(source, req, &path) || !number_param(req, "offset", &offset) ||
        !number_param(req, "length", &length))
        return;
    struct buf data = BUF_INIT;
    struct error err = ERROR_INIT;
    int r = files_read(source, path, offset, length, &data, &size, &err);
    if (r < 0) {
        buf_done(&data);
        return http_respond_text(req, files_status(r), "%s.\n", err.msg);
    }
    struct buf out = BUF_INIT;
    struct json_writer w;
    jw_init(&w, &out);
    jw_begin_object(&w);
    jw_key(&w, "data");
    jw_string_n(&w, buf_cstr(&data), data.n);
    jw_field_i64(&w, "offset", offset < 0 ? size : offset);
    jw_end_object(&w);
    buf_done(&data);
    http_respond_jsonp(req, &out);
    buf_done(&out);
}

/* ---- download: in pieces, as fast as the client takes them ---- */

struct download {
    int fd;
    int64_t left;
};

static void download_closed(struct http_request *req)
{
    struct download *d = req->userdata;
    req->userdata = NULL;
    if (!d)
        return;
    fd_close(d->fd);
    free(d);
}

static void download_more(struct http_request *req)
{
    struct download *d = req->userdata;
    if (!d)
        return;
    char *chunk = xmalloc(DOWNLOAD_CHUNK);
    ssize_t n = read(d->fd, chunk, (size_t)MIN(d->left, (int64_t)DOWNLOAD_CHUNK));
    if (n > 0) {
        d->left -= n;
        http_respond_write(req, chunk, (size_t)n);
    }
    free(chunk);
    if (n < 0)
        http_respond_abort(req);
    else if (n == 0 || d->left == 0)
        http_respond_end(req);
}

static const char *content_type(struct str name)
{
    static const struct {
        const char *suffix, *type;
    } types[] = {
        {".txt", "text/plain"},
        {".log", "text/plain"},
        {".html", "text/html"},
        {".css", "text/css"},
        {".js", "application/javascript"},
        {".json", "application/json"},
        {".xml", "application/xml"},
        {".png", "image/png"},
        {".jpg", "image/jpeg"},
        {".jpeg", "image/jpeg"},
        {".gif", "image/gif"},
        {".svg", "image/svg+xml"},
        {".pdf", "application/pdf"},
        {".zip", "application/zip"},
        {".gz", "application/gzip"},
        {".tar", "application/x-tar"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(types); i++)
        if (str_has_suffix(name, str_of(types[i].suffix)))
            return types[i].type;
    return "application/octet-stream";
}

static void download(const struct file_source *source, struct http_request *req)
{
    struct str path;
    if (!path_param(source, req, &path))
        return;
    struct stat st;
    struct error err = ERROR_INIT;
    int fd = -1;
    int r = open_file(source, path, &st, &fd, &err);
    if (r < 0)
        return http_respond_text(req, files_status(r), "%s.\n", err.msg);
    struct str name = path;
    for (size_t i = path.n; i > 0; i--) {
        if (path.p[i - 1] == '/') {
            name = (struct str){path.p + i, path.n - i};
            break;
        }
    }
    /* A quote would end the name early. */
    char *shown = arena_strndup(&req->arena, name.p, name.n);
    for (char *c = shown; *c; c++)
        if (*c == '"' || *c == '\\')
            *c = '_';
    http_set_header_f(req, "Content-Disposition", "attachment; filename=\"%s\"", shown);
    const char *type = content_type(name);
    if (st.st_size == 0) {
        fd_close(fd);
        return http_respond(req, 200, type, NULL, 0);
    }
    struct download *d = xnew(struct download);
    d->fd = fd;
    d->left = st.st_size;
    req->userdata = d;
    req->on_close = download_closed;
    http_respond_begin(req, 200, type);
    http_respond_on_drain(req, download_more);
    download_more(req);
}

static void debug(const struct file_source *source, struct http_request *req)
{
    _cleanup_buf_ struct buf out = BUF_INIT;
    struct json_writer w;
    jw_init(&w, &out);
    jw_begin_object(&w);
    source->attached(source->userdata, &w);
    jw_end_object(&w);
    http_respond_jsonp(req, &out);
}

bool files_http(const struct file_source *source, struct http_request *req, struct str endpoint)
{
    static const struct {
        const char *name;
        void (*answer)(const struct file_source *source, struct http_request *req);
    } endpoints[] = {
        {"browse", browse},
        {"read", read_part},
        {"download", download},
        {"debug", debug},
    };
    if (str_has_suffix(endpoint, STR(".json")))
        endpoint.n -= sizeof(".json") - 1;
    for (size_t i = 0; i < ARRAY_SIZE(endpoints); i++) {
        if (str_eq_c(endpoint, endpoints[i].name)) {
            endpoints[i].answer(source, req);
            return true;
        }
    }
    return false;
}
