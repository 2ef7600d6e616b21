/* App definitions: whatever comes, a definition that is taken reads back as itself. */

#include <assert.h>

#include "base/clock.h"
#include "base/str.h"
#include "marathon/api_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct app_options app_options = {NULL, "mesos-bridge"};
    static const struct core_options options = {.framework_name = "m",
        .hostname = "h",
        .mesos_role = "*",
        .mesos_user = "u",
        .executor = "//cmd",
        .app = &app_options,
        .local_port_min = 10000,
        .local_port_max = 20000,
        .max_versions = 5,
        .max_running_deployments = 100};
    static struct core *core;
    json_t *json = NULL;
    if (!core)
        core = core_new(&options, 1);
    if (json_parse((const char *)data, size, &json, NULL) < 0)
        return 0;
    struct app_reader reader = {.core = core};
    struct app *a = read_app(&reader, json, "/", NULL, NULL, false, "");
    json_decref(json);
    assert(a || reader.json.n > 0 || reader.rules.n > 0);
    if (a) {
        json_t *tree = app_tree(a);
        struct app *again = read_app(&reader, tree, "/", NULL, NULL, false, "");
        assert(again && app_config_equal(a, again));
        app_unref(again);
        again = read_app(&reader, tree, "/", a->id, a, true, "");
        assert(again && app_config_equal(a, again));
        app_unref(again);
        json_decref(tree);
    }
    struct api_reply reply = {0};
    assert(a || app_reader_answer(&reader, &reply));
    api_reply_done(&reply);
    app_reader_done(&reader);
    app_unref(a);
    return 0;
}
