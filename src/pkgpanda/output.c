#include "pkgpanda/output.h"

#include <errno.h>
#include <stdio.h>

#include "json/writer.h"
#include "pkgpanda/id.h"

static struct str name_of(const char *id)
{
    const char *split = strstr(id, "--");
    return (struct str){id, split ? (size_t)(split - id) : strlen(id)};
}

void print_repository(const struct strings *ids)
{
    for (size_t i = 0; i < ids->n;) {
        struct str name = name_of(ids->items[i]);
        size_t end = i + 1;
        while (end < ids->n && str_eq(name_of(ids->items[end]), name))
            end++;
        if (end == i + 1) {
            puts(ids->items[i]);
        } else {
            printf("%.*s:\n", (int)name.n, name.p);
            for (size_t j = i; j < end; j++)
                printf("  %s\n", ids->items[j] + name.n + 2);
        }
        i = end;
    }
}

void print_lines(const struct strings *ids)
{
    for (size_t i = 0; i < ids->n; i++)
        puts(ids->items[i]);
}

static void write_list(struct json_writer *w, const struct strings *ids)
{
    jw_begin_array(w);
    for (size_t i = 0; i < ids->n; i++)
        jw_string(w, ids->items[i]);
    jw_end_array(w);
}

void print_json_list(const struct strings *ids)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    struct json_writer w;
    jw_init(&w, &text);
    write_list(&w, ids);
    puts(buf_cstr(&text));
}

void print_json_field(const char *key, const struct strings *ids)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    struct json_writer w;
    jw_init(&w, &text);
    jw_begin_object(&w);
    jw_key(&w, key);
    write_list(&w, ids);
    jw_end_object(&w);
    puts(buf_cstr(&text));
}

int print_error(const struct error *err, bool json)
{
    const char *kind = "ERROR";
    if (err->code == -EINVAL)
        kind = "Validation Error";
    else if (err->code == -ENOENT || err->code == -EBADMSG || err->code == -EEXIST)
        kind = "Package Error";
    fflush(stdout);
    if (!json) {
        fprintf(stderr, "%s: %s\n", kind, err->msg);
        return 1;
    }
    _cleanup_buf_ struct buf text = BUF_INIT;
    struct json_writer w;
    jw_init(&w, &text);
    jw_begin_object(&w);
    jw_key(&w, "error");
    jw_begin_object(&w);
    jw_field_string(&w, "kind", kind);
    jw_field_string(&w, "message", err->msg);
    jw_end_object(&w);
    jw_end_object(&w);
    fprintf(stderr, "%s\n", buf_cstr(&text));
    return 1;
}
