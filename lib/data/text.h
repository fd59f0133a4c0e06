/* text.h: limits and texts in messages, shared by the readers of this folder. Private to lib/data.
 */
#ifndef GM_DATA_TEXT_H
#define GM_DATA_TEXT_H

#include "gm/data.h"

#define GM_COLUMNS_MAX ((size_t)65536)      /* columns of a table, without the label */
#define GM_CATEGORIES_MAX ((size_t)10000)   /* categories of one column; classes */
#define GM_FEATURES_MAX ((size_t)1 << 20)   /* features of a row, one-hot ones included */
#define GM_COLUMN_NAME_MAX ((size_t)256)    /* bytes in a column's name */
#define GM_CATEGORY_TEXT_MAX ((size_t)1024) /* bytes in a category or a class */

#define GM_DECIMALS_MAX 1048576 /* digits behind a number's point: a field has no more bytes */
#define GM_EMPTY_LABEL "empty; a class belongs here (gm-init --unlabelled takes rows without one)"

/* The part of a path behind its last slash. */
const char *gm_base_name(const char *path);

#endif
