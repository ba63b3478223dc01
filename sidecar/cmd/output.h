/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CMD_OUTPUT_H
#define CMD_OUTPUT_H

/* Flushes standard output. Returns status, or EXIT_FAILED after printing the error if something could not be written.
 */
int output_end(int status);

#endif
