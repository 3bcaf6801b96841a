/* SPDX-License-Identifier: MIT */
/** @file
 * Events: what the services report while they work, by callback or by pull.
 *
 * A bus carries the events of the services that were opened on it. Each event reaches every subscriber in
 * the order in which it was sent. Callbacks run on the bus's one dispatcher thread, with no lock held, so a
 * slow callback delays events but never a transfer. Progress events of one job that nobody has taken yet
 * are merged into the newest; a job's terminal event (completed, error, cancelled) comes exactly once and
 * last.
 */
#ifndef MODELMGR_EVENT_H
#define MODELMGR_EVENT_H

#include "error_codes.h"
#include "types.h"

MMGR_BEGIN_DECLS

/** Kind of an event. The name is what mmgr_event_name() and the JSON form say. */
enum mmgr_event_type {
    MMGR_EVENT_NONE = 0,
    MMGR_EVENT_DOWNLOAD_ENQUEUED = 1,          /**< "download.enqueued" */
    MMGR_EVENT_DOWNLOAD_RUNNING = 2,           /**< "download.running", about every 1 % of the bytes */
    MMGR_EVENT_DOWNLOAD_PAUSED = 3,            /**< "download.paused" */
    MMGR_EVENT_DOWNLOAD_COMPLETED = 4,         /**< "download.completed" */
    MMGR_EVENT_DOWNLOAD_ERROR = 5,             /**< "download.error" */
    MMGR_EVENT_DOWNLOAD_CANCELLED = 6,         /**< "download.cancelled" */
    MMGR_EVENT_INSTALL_DOWNLOADING = 20,       /**< "install.downloading", with parts */
    MMGR_EVENT_INSTALL_DOWNLOADS_COMPLETE = 21,/**< "install.downloads_complete" */
    MMGR_EVENT_INSTALL_RUNNING = 22,           /**< "install.running": identifying, placing, recording */
    MMGR_EVENT_INSTALL_COMPLETED = 23,         /**< "install.completed", with the key */
    MMGR_EVENT_INSTALL_ERROR = 24,             /**< "install.error" */
    MMGR_EVENT_INSTALL_CANCELLED = 25,         /**< "install.cancelled" */
    MMGR_EVENT_INSTALL_PAUSED = 26,            /**< "install.paused" */
    MMGR_EVENT_LOAD_STARTED = 40,              /**< "load.started" */
    MMGR_EVENT_LOAD_COMPLETED = 41,            /**< "load.completed" */
    MMGR_EVENT_LOAD_ERROR = 42,                /**< "load.error" */
    MMGR_EVENT_STORE_ADDED = 60,               /**< "store.added" */
    MMGR_EVENT_STORE_UPDATED = 61,             /**< "store.updated" */
    MMGR_EVENT_STORE_DELETED = 62,             /**< "store.deleted" */
    MMGR_EVENT_STORE_CHANGED = 63,             /**< "store.changed": another process or handle changed records;
                                                    only of a store opened with MMGR_STORE_WATCH, without a key */
    MMGR_EVENT_TYPE_FORCE_32_ = MMGR_ENUM_32_BITS
};

/** Subscription masks: a union of groups, or MMGR_EVENTS_ALL. */
#define MMGR_EVENTS_DOWNLOAD 1u
#define MMGR_EVENTS_INSTALL 2u
#define MMGR_EVENTS_LOAD 4u
#define MMGR_EVENTS_STORE 8u
#define MMGR_EVENTS_ALL 0xffffffffu

/** What a handler wants done with the job of the event. Taken when the handler returns. */
enum mmgr_decision {
    MMGR_DECISION_CONTINUE = 0, /**< preset: carry on */
    MMGR_DECISION_PAUSE = 1,    /**< pause the job, keep its bytes */
    MMGR_DECISION_CANCEL = 2,   /**< cancel the job */
    MMGR_DECISION_FAIL = 3,     /**< end the job with MMGR_ERR_CANCELLED in its error */
    MMGR_DECISION_FORCE_32_ = MMGR_ENUM_32_BITS
};

/**
 * Receives one event.
 *
 * @param event     Lent for the call; mmgr_event_ref() keeps it.
 * @param decision  Preset to MMGR_DECISION_CONTINUE. Only jobs that still run obey it.
 * @param user      Pointer given at subscription.
 *
 * Runs on the dispatcher thread. It may call any function except the close of a service of this bus
 * (MMGR_ERR_BUSY).
 */
typedef void (*mmgr_event_fn)(const mmgr_event *event, enum mmgr_decision *decision, void *user);

/** Frees the user pointer of a subscription. Called exactly once, after the last call of the handler; not
 *  called when the subscription itself failed. */
typedef void (*mmgr_user_free_fn)(void *user);

/** Options of mmgr_bus_open(). */
struct mmgr_bus_options {
    uint32_t struct_size; /**< sizeof(struct mmgr_bus_options) */
    uint32_t flags;       /**< must be 0 */
};

/**
 * Open an event bus. Its dispatcher thread starts with the first callback subscription.
 *
 * @param options   Options or NULL.
 * @param[out] bus  Given; close with mmgr_bus_close().
 * @return MMGR_OK; MMGR_ERR_ARGUMENT; MMGR_ERR_ABI_SIZE; MMGR_ERR_ABI_NEWER; MMGR_ERR_NO_MEMORY.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_bus_open(const struct mmgr_bus_options *options, mmgr_bus **bus);

/**
 * Close a bus: events already sent are delivered first, then every subscription ends.
 *
 * @param bus  Bus, or NULL for no effect.
 * @return MMGR_OK, or MMGR_ERR_BUSY from inside a handler and while a service or a listener is open on the
 *   bus (nothing happens then).
 *
 * Thread-safety: must not race with other calls on this bus.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_bus_close(mmgr_bus *bus);

/**
 * Subscribe a handler.
 *
 * @param bus        Bus.
 * @param mask       Groups of events, MMGR_EVENTS_*.
 * @param fn         Handler.
 * @param user       Passed to fn.
 * @param user_free  Frees user, or NULL.
 * @param[out] id    Subscription number, greater than 0; may be NULL.
 * @return MMGR_OK; MMGR_ERR_ARGUMENT; MMGR_ERR_NO_MEMORY.
 *
 * Thread-safety: safe, also from a handler.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_bus_subscribe(mmgr_bus *bus, uint32_t mask, mmgr_event_fn fn, void *user,
                                             mmgr_user_free_fn user_free, uint64_t *id);

/**
 * End a subscription. When the call returns, the handler is not running and will not be called again; from
 * inside that very handler, it is not called again after the present call.
 *
 * @param bus  Bus.
 * @param id   Number from mmgr_bus_subscribe().
 * @return MMGR_OK, or MMGR_ERR_ARGUMENT when there is no such subscription.
 *
 * Thread-safety: safe, also from a handler.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_bus_unsubscribe(mmgr_bus *bus, uint64_t id);

/**
 * Open a listener, from which events are pulled.
 *
 * @param bus            Bus.
 * @param mask           Groups of events, MMGR_EVENTS_*.
 * @param[out] listener  Given; close with mmgr_listener_close() before the bus.
 * @return MMGR_OK; MMGR_ERR_ARGUMENT; MMGR_ERR_IO (no descriptor left); MMGR_ERR_NO_MEMORY.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_listener_open(mmgr_bus *bus, uint32_t mask, mmgr_listener **listener);

/**
 * Take the next event.
 *
 * @param listener    Listener.
 * @param timeout_ns  How long to wait, in nanoseconds; 0 polls, negative waits for ever.
 * @param[out] event  Given; release with mmgr_event_unref().
 * @return MMGR_OK; MMGR_ERR_TIMEOUT (not recorded as last error); MMGR_ERR_ARGUMENT.
 *
 * Thread-safety: safe; each event goes to one caller.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_listener_next(mmgr_listener *listener, int64_t timeout_ns,
                                             mmgr_event **event);

/**
 * Descriptor that is readable while events wait, for poll() and the like. Do not read from it.
 *
 * @param listener  Listener.
 * @return Descriptor, owned by the listener; -1 for NULL.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API int mmgr_listener_fd(const mmgr_listener *listener);

/**
 * Close a listener; events not taken are dropped.
 *
 * @param listener  Listener, or NULL for no effect.
 *
 * Thread-safety: must not race with other calls on this listener.
 * Since: 0.1
 */
MMGR_API void mmgr_listener_close(mmgr_listener *listener);

/**
 * Keep an event.
 *
 * @param event  Event.
 * @return The event, with one more reference.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API mmgr_event *mmgr_event_ref(const mmgr_event *event);

/**
 * Release an event.
 *
 * @param event  Event, or NULL for no effect.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API void mmgr_event_unref(mmgr_event *event);

/**
 * Kind of an event.
 * @param event  Event.
 * @return Its type.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_event_type mmgr_event_type(const mmgr_event *event);

/**
 * Name of an event, such as "install.completed".
 * @param event  Event.
 * @return Static text; "" for NULL.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API const char *mmgr_event_name(const mmgr_event *event);

/**
 * Sequence number: 1, 2, … in the order of sending on this bus.
 * @param event  Event.
 * @return Number.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API uint64_t mmgr_event_sequence(const mmgr_event *event);

/**
 * Time of sending.
 * @param event  Event.
 * @return Nanoseconds since 1970-01-01 UTC.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API int64_t mmgr_event_time(const mmgr_event *event);

/**
 * Job that the event is about.
 * @param event  Event.
 * @return Id of the download or install job; 0 when there is none.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API uint64_t mmgr_event_job(const mmgr_event *event);

/**
 * Bytes done so far.
 * @param event  Event.
 * @return Bytes.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API uint64_t mmgr_event_bytes(const mmgr_event *event);

/**
 * Bytes in all.
 * @param event  Event.
 * @return Bytes; 0 while unknown.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API uint64_t mmgr_event_total_bytes(const mmgr_event *event);

/** Texts that an event may carry. */
enum mmgr_event_text {
    MMGR_EVENT_TEXT_SOURCE = 1,     /**< source as given */
    MMGR_EVENT_TEXT_LOCAL_PATH = 2, /**< where the bytes go; for loads, the location of the model */
    MMGR_EVENT_TEXT_KEY = 3,        /**< key of the model record */
    MMGR_EVENT_TEXT_SUBMODEL = 4,
    MMGR_EVENT_TEXT_HASH = 5,
    MMGR_EVENT_TEXT_PRECISION = 6,
    MMGR_EVENT_TEXT_CONTEXT = 7,    /**< the caller's own ids, as given to the load call */
    MMGR_EVENT_TEXT_FORCE_32_ = MMGR_ENUM_32_BITS
};

/**
 * A text of the event.
 * @param event  Event.
 * @param which  Which text.
 * @return Lent text, or NULL when this event has none.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API const char *mmgr_event_text(const mmgr_event *event, enum mmgr_event_text which);

/**
 * Error of an error event.
 * @param event  Event.
 * @return Lent error, or NULL.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API const mmgr_error *mmgr_event_error(const mmgr_event *event);

/**
 * Number of parts (files) of a multi-file download.
 * @param event  Event.
 * @return Number of parts; 0 when the event has none.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API uint32_t mmgr_event_part_count(const mmgr_event *event);

/**
 * One part of a multi-file download.
 * @param event       Event.
 * @param index       0 … count - 1.
 * @param[out] path   Lent: path of the part below the destination; may be NULL.
 * @param[out] bytes  Bytes done; may be NULL.
 * @param[out] total  Bytes in all, 0 while unknown; may be NULL.
 * @return MMGR_OK, or MMGR_ERR_ARGUMENT when there is no such part.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_event_part(const mmgr_event *event, uint32_t index, const char **path,
                                          uint64_t *bytes, uint64_t *total);

/**
 * The event as one JSON object on one line: version, event, sequence, time, job and the payload.
 * @param event      Event.
 * @param[out] json  Given text.
 * @return MMGR_OK; MMGR_ERR_ARGUMENT; MMGR_ERR_NO_MEMORY.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_event_to_json(const mmgr_event *event, char **json);

MMGR_END_DECLS
#endif
