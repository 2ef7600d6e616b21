#include "process/process.h"

#include <sys/sysinfo.h>
#include <unistd.h>

#include "process/metrics.h"

void process_system_stats(struct http_request *req)
{
    struct sysinfo info;
    _cleanup_buf_ struct buf out = BUF_INIT;
    struct json_writer w;
    if (sysinfo(&info) < 0) {
        http_respond_text(req, 500, "The system does not tell");
        return;
    }
    const double load = 1 << SI_LOAD_SHIFT;
    jw_init(&w, &out);
    jw_begin_object(&w);
    jw_field_double(&w, "avg_load_1min", (double)info.loads[0] / load);
    jw_field_double(&w, "avg_load_5min", (double)info.loads[1] / load);
    jw_field_double(&w, "avg_load_15min", (double)info.loads[2] / load);
    jw_field_i64(&w, "cpus_total", sysconf(_SC_NPROCESSORS_ONLN));
    jw_field_i64(&w, "mem_total_bytes", (int64_t)(info.totalram * info.mem_unit));
    jw_field_i64(&w, "mem_free_bytes", (int64_t)(info.freeram * info.mem_unit));
    jw_end_object(&w);
    http_respond_jsonp(req, &out);
}

void process_write_version(struct json_writer *w, const char *version)
{
    jw_field_string(w, "build_date", "");
    jw_field_double(w, "build_time", 0);
    jw_field_string(w, "build_user", "");
    jw_field_string(w, "version", version);
}

void process_list(struct http_request *req, const char *id)
{
    _cleanup_buf_ struct buf out = BUF_INIT;
    struct json_writer w;
    jw_init(&w, &out);
    jw_begin_array(&w);
    jw_begin_object(&w);
    jw_field_string(&w, "id", id);
    jw_key(&w, "events");
    jw_begin_array(&w);
    jw_end_array(&w);
    jw_end_object(&w);
    jw_end_array(&w);
    http_respond_jsonp(req, &out);
}

/* ---- help ---- */

static void write_markdown(struct buf *out, const struct help_entry *e)
{
    buf_printf(out, "### TL;DR; ###\n%s\n", e->summary);
    if (e->details)
        buf_printf(out, "\n### DESCRIPTION ###\n%s\n", e->details);
}

static void put_html(struct buf *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '<')
            buf_puts(out, "&lt;");
        else if (*text == '>')
            buf_puts(out, "&gt;");
        else if (*text == '&')
            buf_puts(out, "&amp;");
        else
            buf_putc(out, *text);
    }
}

static void respond_page(struct http_request *req, const char *title, const struct buf *body)
{
    _cleanup_buf_ struct buf out = BUF_INIT;
    buf_puts(&out, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>");
    put_html(&out, title);
    buf_puts(&out, "</title><style>body{font-family:sans-serif;margin:2em;max-width:60em}"
                   "pre{white-space:pre-wrap}</style></head><body>\n");
    buf_append(&out, body->p, body->n);
    buf_puts(&out, "</body></html>\n");
    http_respond(req, 200, "text/html; charset=utf-8", out.p, out.n);
}

static void help_json(struct http_request *req, const struct help_entry *entries, size_t n)
{
    _cleanup_buf_ struct buf out = BUF_INIT;
    struct json_writer w;
    jw_init(&w, &out);
    jw_begin_object(&w);
    jw_key(&w, "processes");
    jw_begin_array(&w);
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || !streq(entries[i].process, entries[i - 1].process)) {
            jw_begin_object(&w);
            jw_field_string(&w, "id", entries[i].process);
            jw_key(&w, "endpoints");
            jw_begin_array(&w);
        }
        _cleanup_buf_ struct buf text = BUF_INIT;
        write_markdown(&text, &entries[i]);
        jw_begin_object(&w);
        jw_field_string(&w, "name", entries[i].path);
        jw_field_string(&w, "text", buf_cstr(&text));
        jw_end_object(&w);
        if (i + 1 == n || !streq(entries[i].process, entries[i + 1].process)) {
            jw_end_array(&w);
            jw_end_object(&w);
        }
    }
    jw_end_array(&w);
    jw_end_object(&w);
    http_respond_jsonp(req, &out);
}

/* Whether the entry is at or under "/PROCESS/ENDPOINT". */
static bool selected(const struct help_entry *e, struct str rest)
{
    if (rest.n <= 1)
        return true;
    rest.p++;
    rest.n--;
    if (!str_has_prefix(rest, str_of(e->process)))
        return false;
    rest.p += strlen(e->process);
    rest.n -= strlen(e->process);
    return rest.n == 0 || str_eq_c(rest, "/") || str_eq_c(rest, e->path);
}

void process_help(
    struct http_request *req, struct str rest, const struct help_entry *entries, size_t n)
{
    struct str format = http_request_param(req, "format");
    if (format.p && str_eq_c(format, "json")) {
        help_json(req, entries, n);
        return;
    }
    struct str accept = http_headers_join(&req->headers, "Accept", &req->arena);
    bool html = http_accepts(accept, "text/html");
    _cleanup_buf_ struct buf out = BUF_INIT;
    size_t shown = 0;
    for (size_t i = 0; i < n; i++) {
        const struct help_entry *e = &entries[i];
        if (!selected(e, rest))
            continue;
        shown++;
        _cleanup_buf_ struct buf text = BUF_INIT;
        write_markdown(&text, e);
        if (html) {
            buf_printf(&out, "<h2><a href=\"/help/%s%s\">/%s%s</a></h2>\n<pre>", e->process,
                e->path, e->process, e->path);
            put_html(&out, buf_cstr(&text));
            buf_puts(&out, "</pre>\n");
        } else {
            buf_printf(&out, "## /%s%s ##\n%s\n", e->process, e->path, buf_cstr(&text));
        }
    }
    if (shown == 0)
        http_respond_text(req, 404, "There is no help for '" STR_FMT "'", STR_ARG(rest));
    else if (html)
        respond_page(req, "Help", &out);
    else
        http_respond(req, 200, "text/markdown; charset=utf-8", out.p, out.n);
}

/* ---- the landing page ---- */

void process_landing(struct http_request *req, const char *name, const char *what,
    const struct landing_link *links, size_t n)
{
    _cleanup_buf_ struct buf out = BUF_INIT;
    buf_puts(&out, "<h1>");
    put_html(&out, name);
    buf_puts(&out, "</h1>\n<p>");
    put_html(&out, what);
    buf_puts(&out, "</p>\n<ul>\n");
    for (size_t i = 0; i < n; i++) {
        buf_printf(&out, "<li><a href=\"%s\">%s</a>: ", links[i].path, links[i].path);
        put_html(&out, links[i].text);
        buf_puts(&out, "</li>\n");
    }
    buf_puts(&out, "</ul>\n");
    respond_page(req, name, &out);
}
