#include "unit.h"

#include <errno.h>

#include "base/alloc.h"
#include "router/config.h"

static struct router_options options(void)
{
    return (struct router_options){.ip = "127.0.0.1",
        .port = 80,
        .run_dir = "/run/r",
        .nginx_module = "/lib/m.so",
        .auth = "true",
        .permissions = true,
        .cache_needs_auth = true,
        .challenge = "acsjwt",
        .frame_options = "DENY",
        .ui_dir = "/ui",
        .log_level = "warn",
        .tls_protocols = "TLSv1.2",
        .tls_ciphers = "HIGH",
        .worker_connections = 1024,
        .agent_router_port = 61001,
        .leader_router_port = 80,
        .backends = {[BACKEND_IAM] = "127.0.0.1:8101"}};
}

static char *text_of(const struct router_options *o)
{
    struct buf out = BUF_INIT;
    struct error err = ERROR_INIT;
    if (config_write(o, &out, &err) < 0)
        fail_msg("%s", err.msg);
    return buf_steal(&out);
}

/* The block of a location, up to its brace. */
static char *location(const char *text, const char *head)
{
    const char *begin = strstr(text, head);
    if (!begin)
        fail_msg("no %s", head);
    const char *end = strstr(begin, "\n        }\n");
    assert_non_null(end);
    return str_dup((struct str){begin, (size_t)(end - begin)});
}

static void every_route_that_proxies_says_who_may(void **state)
{
    (void)state;
    struct router_options o = options();
    for (int b = BACKEND_NONE + 1; b < BACKENDS; b++)
        o.backends[b] = "127.0.0.1:1";
    for (int agent = 0; agent < 2; agent++) {
        o.agent = agent;
        char *text = text_of(&o);
        size_t proxies = 0;
        for (const char *p = text; (p = strstr(p, "        location ")); p++) {
            const char *end = strstr(p, "\n        }\n"), *line = strchr(p, '\n');
            const bool one_line = line && line[-1] == '}';
            if (one_line || !end)
                continue;
            char *block = str_dup((struct str){p, (size_t)(end - p)});
            const bool named = strstr(block, "location @") != NULL,
                       inside = strstr(block, "internal;") != NULL;
            if (strstr(block, "proxy_pass http") && !named && !inside) {
                proxies++;
                if (!strstr(block, "dcos_auth "))
                    fail_msg("anybody may: %s", block);
                if (!strstr(block, "Cookie \"\";") && !strstr(block, "Cookie $dcos_cookie;"))
                    fail_msg("cookies pass: %s", block);
            }
            free(block);
        }
        assert_true(proxies >= (agent ? 5 : 20));
        free(text);
    }
}

static void switches(void **state)
{
    (void)state;
    struct router_options o = options();
    o.master = "x";
    char *text = text_of(&o), *block = location(text, "location ^~ \"/mesos/\"");
    assert_non_null(strstr(block, "dcos_auth full \"dcos:adminrouter:ops:mesos\";"));
    free(block);
    block = location(text, "location ^~ \"/net/\"");
    assert_non_null(strstr(block, "dcos_absent"));
    free(block);
    free(text);
    o.permissions = false;
    text = text_of(&o);
    assert_null(strstr(text, "dcos_auth full"));
    free(text);
    static const char *const words[] = {"true", "", "False", "FALSE", "no", "0"};
    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        o.auth = words[i];
        text = text_of(&o);
        assert_non_null(strstr(text, "dcos_auth token"));
        free(text);
    }
    o.auth = "false";
    text = text_of(&o);
    assert_null(strstr(text, "dcos_auth token"));
    free(text);
}

static void texts_cannot_leave_their_place(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "a;b", "a\"b", "a{", "a}", "a$b", "a\nb", "a\\b", "a#b", "a'b"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct router_options places[] = {options(), options(), options(), options()};
        places[0].ip = bad[i];
        places[1].cluster_id = bad[i];
        places[2].backends[BACKEND_NET] = bad[i];
        places[3].tls_ciphers = bad[i];
        for (size_t k = 0; k < ARRAY_SIZE(places); k++) {
            struct buf out = BUF_INIT;
            struct error err = ERROR_INIT;
            assert_int_equal(config_write(&places[k], &out, &err), -EINVAL);
            assert_int_equal(out.n, 0);
            buf_done(&out);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_route_that_proxies_says_who_may),
        cmocka_unit_test(switches),
        cmocka_unit_test(texts_cannot_leave_their_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
