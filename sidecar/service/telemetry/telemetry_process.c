/* SPDX-License-Identifier: Apache-2.0 */
/* The process as the system reports it, and its libraries. What the system does not report is omitted. */
#include "telemetry_rows.h"

#include <scrapeshard/version.h>

#define PCRE2_CODE_UNIT_WIDTH 8

#include <curl/curl.h>
#include <dirent.h>
#include <event2/event.h>
#include <isa-l.h>
#include <openssl/crypto.h>
#include <pcre2.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>
#include <zlib.h>

void
telemetry_build_info(struct exposition *e, const struct telemetry_row *row, const struct telemetry *t)
{
    char xxhash[32], isal[32], pcre2[64] = "";
    unsigned xx = XXH_versionNumber();
    (void)t;
    pcre2_config(PCRE2_CONFIG_VERSION, pcre2); /* at most 24 bytes: "10.42 2022-12-11" */
    pcre2[strcspn(pcre2, " ")] = 0;
    snprintf(xxhash, sizeof(xxhash), "%u.%u.%u", xx / 10000, xx / 100 % 100, xx % 100);
    snprintf(isal, sizeof(isal), "%d.%d.%d", ISAL_MAJOR_VERSION, ISAL_MINOR_VERSION, ISAL_PATCH_VERSION);
    const struct metric_label labels[] = {
        {"version", SS_VERSION},
        {"libevent", event_get_version()},
        {"libcurl", curl_version_info(CURLVERSION_NOW)->version},
        {"openssl", OpenSSL_version(OPENSSL_VERSION_STRING)},
        {"xxhash", xxhash},
        {"isal", isal},
        {"pcre2", pcre2},
        {"zlib", zlibVersion()},
    };
    exposition_family(e, row->name, row->type, row->help);
    exposition_sample(e, row->name, labels, sizeof(labels) / sizeof(labels[0]), 1);
}

void
telemetry_cpu(struct exposition *e, const struct telemetry_row *row, const struct telemetry *t)
{
    struct timespec cpu;
    (void)t;
    if (!clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu))
        telemetry_write_number(e, row, (double)cpu.tv_sec + (double)cpu.tv_nsec / 1e9);
}

/* Reads the pages of /proc/self/statm: all, and those in memory. */
static bool
read_pages(double *all, double *resident)
{
    FILE *f = fopen("/proc/self/statm", "re");
    bool read = f && fscanf(f, "%lf %lf", all, resident) == 2;
    if (f)
        fclose(f);
    return read;
}

void
telemetry_rss(struct exposition *e, const struct telemetry_row *row, const struct telemetry *t)
{
    double all, resident;
    (void)t;
    if (read_pages(&all, &resident))
        telemetry_write_number(e, row, resident * (double)sysconf(_SC_PAGESIZE));
}

void
telemetry_virtual(struct exposition *e, const struct telemetry_row *row, const struct telemetry *t)
{
    double all, resident;
    (void)t;
    if (read_pages(&all, &resident))
        telemetry_write_number(e, row, all * (double)sysconf(_SC_PAGESIZE));
}

void
telemetry_open_fds(struct exposition *e, const struct telemetry_row *row, const struct telemetry *t)
{
    DIR *dir = opendir("/proc/self/fd");
    int n = -1; /* the directory's own */
    (void)t;
    if (!dir)
        return;
    for (struct dirent *d; (d = readdir(dir));)
        n += d->d_name[0] != '.';
    closedir(dir);
    telemetry_write_number(e, row, n);
}

void
telemetry_max_fds(struct exposition *e, const struct telemetry_row *row, const struct telemetry *t)
{
    struct rlimit limit;
    (void)t;
    if (!getrlimit(RLIMIT_NOFILE, &limit))
        telemetry_write_number(e, row, (double)limit.rlim_cur);
}

void
telemetry_start_time(struct exposition *e, const struct telemetry_row *row, const struct telemetry *t)
{
    telemetry_write_number(e, row, (double)t->wall / 1e3);
}
