/* Commands, environments, containers, volumes, secrets. */

#include <errno.h>

#include "base/str.h"
#include "kernel/task.h"

enum { URIS_MAX = 4096, ENVIRONMENT_MAX = 16384, VOLUMES_MAX = 4096 };

int secret_validate(const Mesos__V1__Secret *secret, struct error *err)
{
    switch (secret->has_type ? secret->type : MESOS__V1__SECRET__TYPE__UNKNOWN) {
    case MESOS__V1__SECRET__TYPE__REFERENCE:
        if (!secret->reference || !secret->reference->name)
            return error_set(err, -EINVAL, "Secret of type REFERENCE must have 'reference' set");
        if (secret->value)
            return error_set(err, -EINVAL, "Secret of type REFERENCE must not have 'value' set");
        return 0;
    case MESOS__V1__SECRET__TYPE__VALUE:
        if (!secret->value)
            return error_set(err, -EINVAL, "Secret of type VALUE must have 'value' set");
        if (secret->reference)
            return error_set(err, -EINVAL, "Secret of type VALUE must not have 'reference' set");
        return 0;
    default:
        return error_set(err, -EINVAL, "Secret must have a known type");
    }
}

static int variable_problem(
    const Mesos__V1__Environment__Variable *v, const char **ret_why, struct error *err)
{
    *ret_why = NULL;
    switch (v->has_type ? v->type : MESOS__V1__ENVIRONMENT__VARIABLE__TYPE__VALUE) {
    case MESOS__V1__ENVIRONMENT__VARIABLE__TYPE__VALUE:
        if (!v->value)
            *ret_why = "of type VALUE must have a value set";
        else if (v->secret)
            *ret_why = "of type VALUE must not have a secret set";
        return 0;
    case MESOS__V1__ENVIRONMENT__VARIABLE__TYPE__SECRET:
        if (!v->secret)
            *ret_why = "of type SECRET must have a secret set";
        else if (v->value)
            *ret_why = "of type SECRET must not have a value set";
        else if (v->secret->value && v->secret->value->data.len > 0 &&
                 memchr(v->secret->value->data.data, 0, v->secret->value->data.len))
            *ret_why = "has a secret with a NUL byte in it";
        else
            return secret_validate(v->secret, err);
        return 0;
    default:
        *ret_why = "must have a known type";
        return 0;
    }
}

int environment_validate(const Mesos__V1__Environment *environment, struct error *err)
{
    if (environment->n_variables > ENVIRONMENT_MAX)
        return error_set(err, -EINVAL, "more than %d environment variables", ENVIRONMENT_MAX);
    for (size_t i = 0; i < environment->n_variables; i++) {
        const Mesos__V1__Environment__Variable *v = environment->variables[i];
        const char *name = v->name ? v->name : "", *why;
        int r = variable_problem(v, &why, err);
        if (r < 0)
            return error_prefix(err, r, "Environment variable '%.200s'", name);
        if (why)
            return error_set(err, -EINVAL, "Environment variable '%.200s' %s", name, why);
    }
    return 0;
}

int uri_validate(const Mesos__V1__CommandInfo__URI *uri, struct error *err)
{
    struct str value = str_trim(str_of(uri->value));
    if (value.n == 0)
        return error_set(err, -EINVAL, "URI must not be empty");
    for (size_t i = 0; i < value.n; i++)
        if (value.p[i] == '\\' || value.p[i] == '\'')
            return error_set(err, -EINVAL, "URI '%.200s' must not contain '\\' or '''", uri->value);
    const char *scheme_end = memmem(value.p, value.n, "://", 3);
    if (scheme_end) {
        struct str rest = {scheme_end + 3, value.n - (size_t)(scheme_end + 3 - value.p)};
        ptrdiff_t slash = str_index(rest, '/');
        if (slash < 0 || (size_t)slash + 1 == rest.n)
            return error_set(err, -EINVAL, "URI '%.200s' has no path", uri->value);
    }
    if (uri->output_file && uri->output_file[0] == '/')
        return error_set(
            err, -EINVAL, "output_file '%.200s' must be a relative path", uri->output_file);
    return 0;
}

int command_validate(const Mesos__V1__CommandInfo *command, struct error *err)
{
    int r;
    if (command->n_uris > URIS_MAX)
        return error_set(err, -EINVAL, "more than %d URIs", URIS_MAX);
    for (size_t i = 0; i < command->n_uris; i++)
        if ((r = uri_validate(command->uris[i], err)) < 0)
            return r;
    return command->environment ? environment_validate(command->environment, err) : 0;
}

/* ---- containers ---- */

static int validate_source(const Mesos__V1__Volume__Source *s, struct error *err)
{
    const void *nested;
    const char *name;
    switch (s->has_type ? s->type : MESOS__V1__VOLUME__SOURCE__TYPE__UNKNOWN) {
    case MESOS__V1__VOLUME__SOURCE__TYPE__DOCKER_VOLUME:
        nested = s->docker_volume;
        name = "docker_volume";
        break;
    case MESOS__V1__VOLUME__SOURCE__TYPE__HOST_PATH:
        nested = s->host_path;
        name = "host_path";
        break;
    case MESOS__V1__VOLUME__SOURCE__TYPE__SANDBOX_PATH:
        nested = s->sandbox_path;
        name = "sandbox_path";
        break;
    case MESOS__V1__VOLUME__SOURCE__TYPE__SECRET:
        nested = s->secret;
        name = "secret";
        break;
    case MESOS__V1__VOLUME__SOURCE__TYPE__CSI_VOLUME:
        nested = s->csi_volume;
        name = "csi_volume";
        break;
    default:
        return error_set(err, -EINVAL, "'source.type' is unknown");
    }
    if (!nested)
        return error_set(err, -EINVAL, "'source.%s' is not set for its type", name);
    if (s->type == MESOS__V1__VOLUME__SOURCE__TYPE__SECRET)
        return secret_validate(s->secret, err);
    if (s->type == MESOS__V1__VOLUME__SOURCE__TYPE__CSI_VOLUME &&
        !s->csi_volume->static_provisioning)
        return error_set(err, -EINVAL, "'source.csi_volume.static_provisioning' is not set");
    return 0;
}

int volume_validate(const Mesos__V1__Volume *volume, struct error *err)
{
    int n = (volume->host_path != NULL) + (volume->image != NULL) + (volume->source != NULL);
    if (n != 1)
        return error_set(err, -EINVAL,
            "exactly one of 'host_path', 'image' and 'source' of a volume should be set");
    return volume->source ? validate_source(volume->source, err) : 0;
}

int container_validate(const Mesos__V1__ContainerInfo *container, struct error *err)
{
    if (!container->has_type)
        return error_set(err, -EINVAL, "ContainerInfo must have a type");
    if (container->n_volumes > VOLUMES_MAX)
        return error_set(err, -EINVAL, "more than %d volumes", VOLUMES_MAX);
    for (size_t i = 0; i < container->n_volumes; i++) {
        const Mesos__V1__Volume *v = container->volumes[i];
        int r = volume_validate(v, err);
        if (r < 0)
            return error_prefix(
                err, r, "Volume '%.200s'", v->container_path ? v->container_path : "");
    }
    if (container->type != MESOS__V1__CONTAINER_INFO__TYPE__DOCKER)
        return 0;
    if (!container->docker)
        return error_set(
            err, -EINVAL, "DockerInfo 'docker' is not set for DOCKER typed ContainerInfo");
    for (size_t i = 0; i < container->docker->n_parameters; i++)
        if (streq(container->docker->parameters[i]->key, "name"))
            return error_set(err, -EINVAL, "Parameter in DockerInfo must not be 'name'");
    return 0;
}
