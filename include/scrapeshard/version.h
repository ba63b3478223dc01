/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SCRAPESHARD_VERSION_H
#define SCRAPESHARD_VERSION_H
/* The release, as `scrapeshard --version` prints it. The placement of keys never changes between releases. */
#define SS_VERSION "0.2.0"
#endif
