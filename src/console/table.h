#ifndef DCOS_CONSOLE_TABLE_H
#define DCOS_CONSOLE_TABLE_H

/*
 * Tables as the DC/OS CLI prints them: no rules, columns as wide as their widest cell, two blanks
 * before, between and after; headers centred; plain numbers to the right, the rest to the left.
 *
 * Cells may hold several lines. Control characters of cells are shown as '?', so that a task's name
 * cannot drive the terminal.
 */

#include "base/buf.h"
#include "base/vec.h"

enum { TABLE_COLUMNS_MAX = 24 };

struct table {
    size_t columns;
    bool left_only;    /* numbers to the left as well */
    VEC(char *) cells; /* row by row, the first row is the header */
};

/* Headers are shown in upper case. */
void table_init(struct table *t, const char *const *headers, size_t n);
void table_done(struct table *t);
/* One cell after the other; a row is complete after `columns` of them. NULL is empty. */
void table_cell(struct table *t, const char *text);
void table_cell_f(struct table *t, const char *fmt, ...) _printf_(2, 3);
/* Sorts the rows by the text of a column; equal ones keep their order. */
void table_sort(struct table *t, size_t column);
void table_print(const struct table *t, struct buf *out);
static inline size_t table_rows(const struct table *t)
{
    return t->cells.n / t->columns - 1;
}

/* Columns that a terminal needs for the text. */
size_t text_width(struct str text);
/* Whether it reads as a number: digits, thousands commas, a fraction. */
bool text_is_number(struct str text);

#endif
