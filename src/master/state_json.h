#ifndef DCOS_MASTER_STATE_JSON_H
#define DCOS_MASTER_STATE_JSON_H

/* Objects that several documents show. */

#include "json/writer.h"
#include "master/state.h"
#include "wire/codec.h"

void state_write_task(struct json_writer *w, const struct task *t);
/* Every role in use or reserved to, with ancestors, by name; list in the arena. */
size_t role_names(const struct master_core *core, struct arena *arena, const char ***ret);

#endif
