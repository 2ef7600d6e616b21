#ifndef DCOS_PKGPANDA_HASH_H
#define DCOS_PKGPANDA_HASH_H

/*
 * Content hashes of pkgpanda, of which ids are made, and digests of files.
 *
 * H of a string is the SHA-1 of its bytes, of a number or truth value that of its text (True,
 * False), of an object that of "key=H(value)" sorted by key and joined by commas, of a list that of
 * its members' H, sorted by the members and joined by commas. Other values have none.
 * (SHA-1 is what existing ids are made of. It names contents; what is fetched is checked with
 * SHA-256 and signatures, see trust.h.)
 */

#include "base/buf.h"
#include "json/json.h"

enum { SHA1_TEXT = 41, SHA256_TEXT = 65 };

/* -EINVAL for null, reals, lists of anything but strings or whole numbers, and depth beyond 32. */
int content_hash(const json_t *value, char ret[SHA1_TEXT], struct error *err);
void sha1_text(const void *p, size_t n, char ret[SHA1_TEXT]);
void sha256_text(const void *p, size_t n, char ret[SHA256_TEXT]);
int sha1_file(const char *path, char ret[SHA1_TEXT], struct error *err);
int sha256_fd(int fd, char ret[SHA256_TEXT], struct error *err);

/* The two ways in which pkgpanda writes JSON: keys sorted, two blanks per level, nothing after the
 * colon, no newline at the end; and one line with ", " and ": ". */
void json_write_pretty(const json_t *value, struct buf *out);
void json_write_line(const json_t *value, struct buf *out);

#endif
