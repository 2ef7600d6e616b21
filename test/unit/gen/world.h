#ifndef DCOS_TEST_GEN_WORLD_H
#define DCOS_TEST_GEN_WORLD_H

/* Configurations with files in memory. */

#include <errno.h>
#include <stdio.h>

#include "base/alloc.h"
#include "gen/calc.h"
#include "gen/gen.h"
#include "gen/graph.h"
#include "unit.h"

static const char *const world_files[][2] = {{"genconf/ip-detect", "#!/bin/sh\necho 10.0.0.1\n"},
    {"genconf/public", "#!/bin/sh\necho 192.0.2.1\n"}, {"genconf/empty", ""},
    {"genconf/binary", "\xff\xfe"}};

static inline int world_read(
    void *userdata, const char *name, size_t max, struct buf *out, struct error *err)
{
    for (size_t i = 0; i < ARRAY_SIZE(world_files); i++) {
        if (!streq(world_files[i][0], name))
            continue;
        buf_puts(out, world_files[i][1]);
        return 0;
    }
    return error_set(err, -ENOENT, "%s is not there", name);
}

static inline int world_list(void *userdata, const char *name, struct buf *out, struct error *err)
{
    return error_set(err, -ENOENT, "%s is not there", name);
}

static const struct gen_files world_disk = {.read = world_read, .list = world_list};

static const struct gen_setting world_settings[] = {{"bootstrap_id", "0123", .fixed = true},
    {"package_ids", "[\"mesos--1\", \"java--2\", \"zookeeper--3\"]", .fixed = true}};

#define WORLD_BASE                                                                                 \
    "bootstrap_url: http://192.0.2.1:8080\ncluster_name: demo\n"                                   \
    "exhibitor_storage_backend: static\nmaster_discovery: static\n"

#define WORLD_ONE WORLD_BASE "master_list: [192.0.2.11]\n"

static inline struct gen *world_gen(const char *config)
{
    struct gen *g = NULL;
    struct error err = ERROR_INIT;
    struct gen_input in = {.config = config,
        .config_n = strlen(config),
        .settings = world_settings,
        .n_settings = ARRAY_SIZE(world_settings),
        .files = &world_disk};
    if (gen_new(&in, &g, &err) < 0)
        fail_msg("%s: %s", config, err.msg);
    return g;
}

/* NULL when the argument is fine. */
static inline const struct gen_problem *world_error(const struct gen *g, const char *name)
{
    size_t n;
    const struct gen_problem *p = gen_errors(g, &n);
    for (size_t i = 0; i < n; i++) {
        if (streq(p[i].name, name))
            return &p[i];
    }
    return NULL;
}

static inline void world_must_be_ok(const struct gen *g, const char *what)
{
    size_t n;
    const struct gen_problem *p = gen_errors(g, &n);
    if (n)
        fail_msg("%s: %s: %s", what, p[0].name, p[0].message);
}

#endif
