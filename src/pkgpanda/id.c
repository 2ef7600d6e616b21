#include "pkgpanda/id.h"

#include <errno.h>

const char *const well_known_folders[] = {"bin", "etc", "include", "lib", WANTS_NAME};

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool made_of(struct str text, const char *others)
{
    for (size_t i = 0; i < text.n; i++)
        if (!is_alnum(text.p[i]) && (!text.p[i] || !strchr(others, text.p[i])))
            return false;
    return text.n > 0 && text.n <= PACKAGE_PART_MAX;
}

bool package_name_valid(struct str name)
{
    return made_of(name, "@._+-") && name.p[0] != '.' && name.p[0] != '-';
}

bool package_version_valid(struct str version)
{
    return made_of(version, "@_+:.");
}

int package_id_parse(const char *text, struct package_id *ret, struct error *err)
{
    const char *split = strstr(text, "--");
    if (split) {
        struct package_id id = {{text, (size_t)(split - text)}, str_of(split + 2)};
        if (package_name_valid(id.name) && package_version_valid(id.version)) {
            *ret = id;
            return 0;
        }
    }
    return error_set(err, -EINVAL, "Invalid package ID: %.200s", text);
}

bool package_id_valid(const char *text)
{
    struct package_id id;
    return package_id_parse(text, &id, NULL) == 0;
}

static bool small_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

bool user_name_valid(const char *name)
{
    if (!has_prefix(name, "dcos_") || strlen(name) > PACKAGE_PART_MAX)
        return false;
    name += strlen("dcos_");
    if (!*name)
        return false;
    for (; *name; name++)
        if (!small_or_digit(*name))
            return false;
    return true;
}

bool group_name_valid(const char *name)
{
    if (strlen(name) > PACKAGE_PART_MAX || (*name >= '0' && *name <= '9') || *name == '-')
        return false;
    for (; *name; name++)
        if (!small_or_digit(*name) && *name != '-')
            return false;
    return true;
}

bool unit_name_reserved(const char *name)
{
    return streq(name, "dcos.target") || streq(name, "dcos-download.service") ||
           streq(name, "dcos-setup.service");
}
