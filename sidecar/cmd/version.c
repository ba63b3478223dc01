/* SPDX-License-Identifier: Apache-2.0 */
/* --version. The first line is for programs. */
#include "cmd.h"
#include "output.h"

#include <scrapeshard/version.h>

#include <curl/curl.h>
#include <event2/event.h>
#include <isa-l.h>
#include <openssl/crypto.h>
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>
#include <yaml.h>
#include <zlib.h>

int
cmd_version(void)
{
    char pcre2[64] = "?"; /* "10.42 2022-12-11" */
    unsigned xxhash = XXH_versionNumber();

    pcre2_config(PCRE2_CONFIG_VERSION, pcre2);
    printf("scrapeshard %s\n", SS_VERSION);
    printf("  libevent   %s\n", event_get_version());
    printf("  libcurl    %s\n", curl_version_info(CURLVERSION_NOW)->version);
    printf("  OpenSSL    %s\n", OpenSSL_version(OPENSSL_VERSION_STRING));
    printf("  xxHash     %u.%u.%u\n", xxhash / 10000, xxhash / 100 % 100, xxhash % 100);
    printf("  PCRE2      %s\n", pcre2);
    printf("  seccomp    %u.%u.%u\n", seccomp_version()->major, seccomp_version()->minor, seccomp_version()->micro);
    printf("  zlib       %s\n", zlibVersion());
    printf("  libyaml    %s\n", yaml_get_version_string());
    /* These cannot be queried at run time. */
    printf("  ISA-L      %d.%d.%d (at build time)\n", ISAL_MAJOR_VERSION, ISAL_MINOR_VERSION, ISAL_PATCH_VERSION);
    printf("  inih       %s (at build time)\n", INIH_VERSION);
#ifdef __clang__
    printf("  built by   clang %s\n", __clang_version__);
#else
    printf("  built by   gcc %s\n", __VERSION__);
#endif
    return output_end(EXIT_SUCCESS);
}
