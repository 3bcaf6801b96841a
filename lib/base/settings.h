/* SPDX-License-Identifier: MIT */
/* What the object of `default_settings` may hold, by type of model. */
#ifndef BASE_SETTINGS_H
#define BASE_SETTINGS_H

#include "base/record.h"

/* Check the default settings of a record that come from outside. INVALID_CONFIG names the setting as
 * "default_settings.NAME". Types without a row in the table may hold anything. */
enum mmgr_result mmgr__settings_check(const mmgr_record *record);

#endif
