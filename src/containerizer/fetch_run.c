#include "containerizer/fetch_run.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "json/writer.h"

enum { FETCHER_OUTPUT_MAX = 64 * 1024, FETCHER_CACHE_MODE = 0700 };

int fetch_start(struct loop *l, const struct fetch_options *o, process_cb cb, void *userdata,
    struct process **ret, struct error *err)
{
    /* One cache per user: nobody reads what another was allowed to fetch. */
    _cleanup_free_ char *cache = path_join(o->cache_dir, o->user ? o->user : "agent");
    int r = mkdir_all(cache, FETCHER_CACHE_MODE, err);
    if (r < 0)
        return error_prefix(err, r, "cannot create the fetcher's cache");
    if (o->user && chown(cache, o->uid, o->gid) < 0)
        return error_errno(err, -errno, "cannot give %s to its user", cache);
    _cleanup_buf_ struct buf input = BUF_INIT;
    struct json_writer w;
    jw_init(&w, &input);
    jw_begin_object(&w);
    jw_field_string(&w, "sandbox", o->sandbox);
    jw_field_string(&w, "cache_dir", cache);
    jw_field_i64(&w, "stall_timeout_us", o->stall_timeout_us);
    jw_field_i64(&w, "max_bytes", (int64_t)o->cache_size);
    jw_key(&w, "uris");
    jw_raw(&w, o->uris, strlen(o->uris));
    jw_end_object(&w);
    _cleanup_free_ char *program = path_join(o->launcher_dir, "dcos-fetcher");
    _cleanup_free_ char *uid = xasprintf("--reuid=%u", (unsigned)o->uid);
    _cleanup_free_ char *gid = xasprintf("--regid=%u", (unsigned)o->gid);
    const char *as_user[] = {"setpriv", uid, gid, "--init-groups", "--", program, NULL};
    const char *as_self[] = {program, NULL};
    struct process_options options = {
        .argv = o->user ? as_user : as_self,
        .cwd = o->sandbox,
        .stdin_text = buf_cstr(&input),
        .capture_max = FETCHER_OUTPUT_MAX,
        .own_group = true,
    };
    r = process_start(l, &options, cb, userdata, ret, err);
    return r < 0 ? error_prefix(err, r, "dcos-fetcher") : 0;
}

char *fetch_failure(const struct process_result *result)
{
    struct str text = str_trim(result->err);
    if (text.n)
        return xasprintf("Failed to fetch URIs: " STR_FMT, STR_ARG(text));
    return xasprintf("Failed to fetch URIs: %s", result->status == -1
                                                     ? "dcos-fetcher could not be started"
                                                     : "dcos-fetcher ended without saying why");
}
