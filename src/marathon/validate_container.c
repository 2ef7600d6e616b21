#include "base/alloc.h"
#include "base/str.h"
#include "marathon/normalize.h"
#include "marathon/validate.h"

static void port_names(const json_t *ports, const char *path, const char *key, struct violations *v)
{
    bool names = false, numbers = false;
    size_t n = json_array_size(ports);
    for (size_t i = 0; i < n; i++) {
        const json_t *a = json_array_get(ports, i);
        for (size_t k = 0; k < i; k++) {
            const json_t *b = json_array_get(ports, k);
            const char *name = json_str_at(a, "name", NULL);
            names = names || (name && streq(name, json_str_at(b, "name", NULL)));
            int64_t port = json_i64_at(a, key, 0);
            numbers = numbers || (port && port == json_i64_at(b, key, 0));
        }
    }
    if (names)
        violation_add(v, path, "Port names must be unique.");
    if (numbers)
        violation_add(v, path, "Ports must be unique.");
}

static void validate_networks(const json_t *app, struct violations *v)
{
    const json_t *networks = json_at(app, "networks");
    size_t host = 0, bridge = 0, container = 0, i;
    json_t *n;
    json_array_foreach(networks, i, n)
    {
        const char *mode = json_str_at(n, "mode", "container");
        const char *name = json_str_at(n, "name", NULL);
        _cleanup_free_ char *path = xasprintf("/networks(%zu)", i);
        if (streq(mode, "host")) {
            host++;
            if (name || json_object_size(json_at(n, "labels")) > 0)
                violation_add(v, path, "Host networks may not have names or labels");
        } else if (streq(mode, "container/bridge")) {
            bridge++;
            if (name)
                violation_add(v, path, "Bridge networks may not have names");
        } else {
            container++;
            if (!name)
                violation_add(
                    v, path, "Network name must be specified when container network is selected.");
            for (size_t k = 0; k < i && name; k++)
                if (streq(json_str_at(json_array_get(networks, k), "name", NULL), name))
                    violation_add(v, "/networks", "Duplicate networks are not allowed");
        }
    }
    bool fine = host + bridge + container == 0 || (host == 1 && !bridge && !container) ||
                (bridge == 1 && !host && !container) || (container && !host && !bridge);
    if (!fine)
        violation_add(v, "/networks",
            "May specify a single host network, single bridge network, or else 1-to-n container "
            "networks");
    bool docker = streq(json_str_at(json_at(app, "container"), "type", ""), "DOCKER");
    if (docker && container > 1)
        violation_add(v, "/networks",
            "may only specify a single container network when using the Docker container engine");
}

static void validate_mappings(const json_t *app, struct violations *v)
{
    const json_t *networks = json_at(app, "networks");
    const json_t *mappings = json_at(json_at(app, "container"), "portMappings");
    size_t i, k;
    json_t *m, *name;
    json_array_foreach(mappings, i, m)
    {
        const json_t *names = json_at(m, "networkNames");
        _cleanup_free_ char *path = xasprintf("/container/portMappings(%zu)/networkNames", i);
        if (json_array_size(networks) > 1 && json_at(m, "hostPort") && json_array_size(names) != 1)
            violation_add(v, path,
                "networkNames must be a single item list when hostPort is specified and more "
                "than 1 container network is defined");
        json_array_foreach(names, k, name)
        {
            bool known = false;
            _cleanup_buf_ struct buf list = BUF_INIT;
            for (size_t j = 0; j < json_array_size(networks); j++) {
                const char *have = json_str_at(json_array_get(networks, j), "name", "");
                buf_printf(&list, "%s%s", j ? "," : "", have);
                known = known || streq(have, json_string_value(name));
            }
            _cleanup_free_ char *below = xasprintf("%s(%zu)", path, k);
            if (!known)
                violation_add(v, below, "is not one of (%s)", buf_cstr(&list));
        }
    }
}

static void validate_linux_info(const json_t *container, struct violations *v)
{
    const json_t *seccomp = json_at(json_at(container, "linuxInfo"), "seccomp");
    const json_t *ipc = json_at(json_at(container, "linuxInfo"), "ipcInfo");
    if (seccomp) {
        bool profile = json_at(seccomp, "profileName") != NULL;
        bool unconfined = json_bool_at(seccomp, "unconfined", false);
        if (profile && unconfined)
            violation_add(v, "/container/linuxInfo/seccomp",
                "Seccomp unconfined can NOT be true when Profile is defined");
        if (!profile && !unconfined)
            violation_add(v, "/container/linuxInfo/seccomp",
                "Seccomp unconfined must be true when Profile is NOT defined");
    }
    if (streq(json_str_at(ipc, "mode", ""), "SHARE_PARENT") && json_at(ipc, "shmSize"))
        violation_add(v, "/container/linuxInfo/ipcInfo",
            "ipcInfo shmSize can NOT be set when mode is SHARE_PARENT");
}

void validate_container(const json_t *app, struct violations *v)
{
    const json_t *container = json_at(app, "container");
    const json_t *docker = json_at(container, "docker");
    const json_t *mappings = json_at(container, "portMappings");
    const json_t *definitions = json_at(app, "portDefinitions");
    bool is_docker = streq(json_str_at(container, "type", ""), "DOCKER");
    bool host = app_network_mode(app) == NETWORK_HOST;
    validate_networks(app, v);
    port_names(definitions, "/portDefinitions", "port", v);
    port_names(mappings, "/container/portMappings", "hostPort", v);
    validate_mappings(app, v);
    if (host && mappings)
        violation_add(
            v, "/container/portMappings", "portMappings are not allowed with host-networking");
    if (!host && definitions)
        violation_add(
            v, "/portDefinitions", "portDefinitions are only allowed with host-networking");
    if (is_docker && !docker)
        violation_add(v, "/container/docker", "not defined");
    if (docker && json_at(docker, "credential"))
        violation_add(v, "/container/docker/credential", "must be empty");
    const char *pull_secret = json_str_at(json_at(docker, "pullConfig"), "secret", NULL);
    if (pull_secret && is_docker)
        violation_add(v, "/container/docker/pullConfig",
            "pullConfig is not supported with Docker containerizer");
    else if (pull_secret && !json_at(json_at(app, "secrets"), pull_secret))
        violation_add(v, "/container/docker/pullConfig/secret",
            "pullConfig.secret must refer to an existing secret");
    validate_linux_info(container, v);
    validate_volumes(app, v);
}
