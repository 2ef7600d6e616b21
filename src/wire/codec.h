#ifndef DCOS_WIRE_CODEC_H
#define DCOS_WIRE_CODEC_H

/*
 * Messages as structs (protobuf-c), protobuf bytes and JSON, by descriptor.
 *
 * Decoded messages live in an arena and die with it; nothing in them is freed one by one. Our
 * .proto files declare every field optional or repeated: what upstream requires is checked by
 * wire_check_required() from a table, so that the right error can name the field. Map fields are
 * repeated entries {key, value} in C.
 */

#include <protobuf-c/protobuf-c.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "json/json.h"
#include "json/writer.h"

enum { WIRE_MESSAGE_MAX = 16 * 1024 * 1024, WIRE_DEPTH_MAX = 64 };

/* Protobuf bytes to a message in the arena. -EBADMSG. Unknown fields are dropped. */
int wire_unpack(const ProtobufCMessageDescriptor *type, struct arena *arena, const void *p,
    size_t n, ProtobufCMessage **ret, struct error *err);
/* Appends the protobuf bytes. */
void wire_pack(const ProtobufCMessage *m, struct buf *out);

/* JSON by the rules of Mesos (docs/compatibility.md): snake_case names, null = unset, enum by name,
 * base64 bytes, numbers also as strings, a lone value for a repeated field, unknown keys ignored.
 * -EINVAL naming the path; wire_parse_json() also -EBADMSG for what is no JSON at all. */
int wire_from_json(const ProtobufCMessageDescriptor *type, struct arena *arena, const json_t *json,
    ProtobufCMessage **ret, struct error *err);
int wire_parse_json(const ProtobufCMessageDescriptor *type, struct arena *arena, const char *text,
    size_t n, ProtobufCMessage **ret, struct error *err);
/* Writes one JSON object: fields in declaration order, defaults that are explicit in the .proto
 * emitted. */
void wire_to_json(struct json_writer *w, const ProtobufCMessage *m);

/* 0, or -EINVAL with "Missing required fields: a.b.c, ..." */
int wire_check_required(const ProtobufCMessage *m, struct error *err);

/* Calls and events carry, for most types, a message named as the type in lower case. The name of
 * that field when the message has it and it is not set; else NULL. */
const char *wire_missing_of_type(
    const ProtobufCMessage *m, const ProtobufCEnumDescriptor *type, int value);

/* Deep copy into an arena. */
ProtobufCMessage *wire_clone(const ProtobufCMessage *m, struct arena *arena);
/* Same fields set to the same values, in the same order for repeated ones. */
bool wire_equal(const ProtobufCMessage *a, const ProtobufCMessage *b);

/* Name of an enum value as JSON has it; NULL for a number that is none. */
const char *wire_enum_name(const ProtobufCEnumDescriptor *type, int value);
int wire_enum_parse(const ProtobufCEnumDescriptor *type, const char *name, int *ret); /* -ENOENT */
#endif
