/* SPDX-License-Identifier: MIT */
/** @file
 * Umbrella header: everything but nothing of its own.
 */
#ifndef MODELMGR_MODELMGR_H
#define MODELMGR_MODELMGR_H

#include "alloc.h"
#include "checkpoint.h"
#include "config.h"
#include "device.h"
#include "error.h"
#include "event.h"
#include "filter.h"
#include "hash.h"
#include "import.h"
#include "install.h"
#include "load.h"
#include "log.h"
#include "manager.h"
#include "metadata.h"
#include "probe.h"
#include "queue.h"
#include "record.h"
#include "source.h"
#include "store.h"
#include "taxonomy.h"
#include "tensor.h"
#include "transport.h"
#include "version.h"

#endif
