#ifndef DCOS_STORAGE_AWS_METADATA_H
#define DCOS_STORAGE_AWS_METADATA_H

/* What a machine on AWS learns of itself: the metadata service, version 2, which wants a token. */

#include "base/buf.h"
#include "base/error.h"

#define AWS_METADATA_VARIABLE "AWS_EC2_METADATA_SERVICE_ENDPOINT"
#define AWS_METADATA_DEFAULT "http://169.254.169.254"

struct aws_metadata {
    const char *endpoint; /* not ours */
    char *header;         /* with the token */
};

/* Keys of the machine's role; they end after hours, and new ones are there before. */
struct aws_credentials {
    char *key, *secret, *token;
};

/* Gets a token for some minutes. */
int aws_metadata_open(struct aws_metadata *m, const char *endpoint, struct error *err);
void aws_metadata_done(struct aws_metadata *m);
/* One word, as of "meta-data/instance-id". -ENOENT, -EBADMSG. Caller frees. */
int aws_metadata_word(
    const struct aws_metadata *m, const char *path, char **ret, struct error *err);
/* -ENOENT when the machine has no role. */
int aws_metadata_credentials(
    const struct aws_metadata *m, struct aws_credentials *ret, struct error *err);
void aws_credentials_done(struct aws_credentials *c);

#endif
