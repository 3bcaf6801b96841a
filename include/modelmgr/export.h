/* SPDX-License-Identifier: MIT */
/** @file
 * Macros that mark the public interface. Include it through any other header.
 */
#ifndef MODELMGR_EXPORT_H
#define MODELMGR_EXPORT_H

#ifdef __cplusplus
#define MMGR_BEGIN_DECLS extern "C" {
#define MMGR_END_DECLS }
#else
#define MMGR_BEGIN_DECLS
#define MMGR_END_DECLS
#endif

#if defined(__GNUC__)
#define MMGR_API __attribute__((visibility("default")))
#else
#define MMGR_API
#endif

/** Last enumerator of every public enum: keeps its width at 32 bits under any compiler switch. */
#define MMGR_ENUM_32_BITS 0x7fffffff

#endif
