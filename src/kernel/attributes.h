#ifndef DCOS_KERNEL_ATTRIBUTES_H
#define DCOS_KERNEL_ATTRIBUTES_H

/* Attributes of agents. */

#include "base/arena.h"
#include "base/error.h"
#include "json/writer.h"
#include "wire/mesos.pb-c.h"

enum { ATTRIBUTES_MAX = 4096 };

/* "rack:a;public_ip:true;n:1.5;r:[1-2]": a number is a scalar, [..] ranges, all else text. The list
 * is in the arena. -EINVAL. */
int attributes_parse(struct str text, struct arena *arena, Mesos__V1__Attribute ***ret,
    size_t *ret_n, struct error *err);
int attributes_validate(Mesos__V1__Attribute *const *list, size_t n, struct error *err);
/* The object of /state: numbers, "[1-2]", text; a name that repeats shows its first value. */
void attributes_write_state(struct json_writer *w, Mesos__V1__Attribute *const *list, size_t n);

#endif
