/* config.yaml, up to everything that is made of it in memory. A line "%%%" may follow, and an
 * extension: its params.yaml, the line again, and its dcos-config.yaml. */

#include <assert.h>
#include <errno.h>

#include "gen/calc.h"
#include "gen/config.h"
#include "gen/gen.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char separator[] = "\n%%%\n";

struct input {
    struct str parts[3];
    size_t n;
};

static int read_file(
    void *userdata, const char *name, size_t max, struct buf *out, struct error *err)
{
    const struct input *x = userdata;
    if (has_suffix(name, "params.yaml"))
        buf_append(out, x->parts[1].p, x->parts[1].n);
    else if (has_suffix(name, "dcos-config.yaml"))
        buf_append(out, x->parts[2].p, x->parts[2].n);
    else
        buf_puts(out, "#!/bin/sh\necho 10.0.0.1\n");
    return 0;
}

static int list_files(void *userdata, const char *name, struct buf *out, struct error *err)
{
    const struct input *x = userdata;
    if (x->n == 1 || !streq(name, "gen_extra"))
        return error_set(err, -ENOENT, "nothing there");
    buf_printf(out, "[[\"params.yaml\"]%s]", x->n > 2 ? ", [\"dcos-config.yaml\"]" : "");
    return 0;
}

static struct input split(const uint8_t *data, size_t size)
{
    struct input x = {.parts = {{(const char *)data, size}}, .n = 1};
    while (x.n < ARRAY_SIZE(x.parts)) {
        struct str *last = &x.parts[x.n - 1];
        const char *at = memmem(last->p, last->n, separator, strlen(separator));
        if (!at)
            break;
        size_t before = (size_t)(at - last->p), skip = before + strlen(separator);
        x.parts[x.n++] = (struct str){last->p + skip, last->n - skip};
        last->n = before + 1;
    }
    return x;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct gen_setting settings[] = {{"bootstrap_id", "b", .fixed = true}};
    struct input x = split(data, size);
    const struct gen_files files = {read_file, list_files, &x};
    struct gen *g = NULL;
    struct error err = ERROR_INIT;
    if (gen_new(&(struct gen_input){.config = x.parts[0].p,
                    .config_n = x.parts[0].n,
                    .settings = settings,
                    .n_settings = 1,
                    .files = &files},
            &g, &err) < 0) {
        assert(err.msg[0]);
        return 0;
    }
    size_t n;
    const struct gen_problem *p = gen_errors(g, &n);
    for (size_t i = 0; i < n; i++)
        assert(p[i].message[0]);
    assert((n == 0) == gen_ok(g));
    assert((gen_cloud_config(g) != NULL) == gen_ok(g));
    gen_free(g);
    return 0;
}
