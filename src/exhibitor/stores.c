#include "exhibitor/stores.h"

#include <errno.h>

static int need(const char *option, const char *value, struct error *err)
{
    return value && *value ? 0 : error_set(err, -EINVAL, "--%s is needed", option);
}

static int open_folder(
    const struct store_options *o, const char *name, struct shared **ret, struct error *err)
{
    int r = need("fsconfigdir", o->folder, err);
    return r < 0 ? r : shared_file_new(o->folder, name, ret, err);
}

static int open_zookeeper(
    const struct store_options *o, const char *name, struct shared **ret, struct error *err)
{
    int r = need("zk_connect", o->zk_connect, err);
    if (r == 0)
        r = need("zk_path", o->zk_path, err);
    return r < 0 ? r : shared_zookeeper_new(o->zk_connect, o->zk_path, ret, err);
}

static int open_s3(
    const struct store_options *o, const char *name, struct shared **ret, struct error *err)
{
    int r = need("s3_bucket", o->s3_bucket, err);
    if (r == 0)
        r = need("aws_region", o->aws_region, err);
    return r < 0 ? r : shared_s3_new(o, name, ret, err);
}

static int open_azure(
    const struct store_options *o, const char *name, struct shared **ret, struct error *err)
{
    int r = need("azure_account_name", o->azure_account, err);
    if (r == 0)
        r = need("azure_account_key", o->azure_key, err);
    return r < 0 ? r : shared_azure_new(o, name, ret, err);
}

int store_open(const char *kind, const struct store_options *o, const char *name,
    struct shared **ret, struct error *err)
{
    static const struct {
        const char *kind;
        int (*open)(const struct store_options *o, const char *name, struct shared **ret,
            struct error *err);
    } kinds[] = {{"SHARED_FS", open_folder}, {"ZK", open_zookeeper}, {"AWS_S3", open_s3},
        {"AZURE", open_azure}};
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        if (streq(kinds[i].kind, kind))
            return kinds[i].open(o, name, ret, err);
    return error_set(err, -EINVAL, "--backend: there is no kind %.50s", kind);
}
