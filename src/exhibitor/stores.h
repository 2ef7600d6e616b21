#ifndef DCOS_EXHIBITOR_STORES_H
#define DCOS_EXHIBITOR_STORES_H

/* Opens a store by the name of its kind. */

#include "exhibitor/shared.h"

struct store_options {
    const char *folder;
    const char *zk_connect, *zk_path;
    const char *s3_bucket, *s3_prefix, *aws_region, *s3_endpoint;
    const char *azure_account, *azure_key, *azure_container, *azure_prefix, *azure_endpoint;
};

/* Objects of S3, with the keys of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or of the machine's
 * role; and of Azure. */
int shared_s3_new(
    const struct store_options *s, const char *name, struct shared **ret, struct error *err);
int shared_azure_new(
    const struct store_options *s, const char *name, struct shared **ret, struct error *err);

/* SHARED_FS, ZK, AWS_S3, AZURE. `name`: of this machine, for its own files in the store. -EINVAL
 * with the option that is missing. */
int store_open(const char *kind, const struct store_options *o, const char *name,
    struct shared **ret, struct error *err);

#endif
