#ifndef DCOS_IAM_CORE_INTERNAL_H
#define DCOS_IAM_CORE_INTERNAL_H

/* What the core's files share. */

#include "iam/core.h"

enum { IAM_FORMAT = 1 /* of stored documents */ };

void iam_done(struct iam_reply *reply, int status);
/* Puts a document (`shown`, taken over; NULL removes), with a secret beside it that only the store
 * gets, or NULL. */
void iam_change(struct iam_core *c, const char *kind, const char *name, json_t *shown,
    const char *secret_name, const char *secret);
/* 1 to `max` bytes of UTF-8 without control characters. */
bool iam_text_valid(const char *text, size_t max);
bool iam_description_ok(const char *description, struct iam_reply *reply);
/* Takes a user or group out of permissions and groups. */
void iam_forget(struct iam_core *c, bool group, const char *name);

#endif
