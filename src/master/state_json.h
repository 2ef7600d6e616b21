#ifndef DCOS_MASTER_STATE_JSON_H
#define DCOS_MASTER_STATE_JSON_H

/* Objects that several documents show. */

#include "json/writer.h"
#include "master/state.h"
#include "wire/codec.h"

void state_write_task(struct json_writer *w, const struct task *t);

#endif
