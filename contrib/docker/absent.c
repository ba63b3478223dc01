/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stands in for librtmp, libldap and liblber in the image. Debian's libcurl is linked with them, and so with GnuTLS and
 * all that it needs: a quarter of the image, and a second TLS, for protocols that the program forbids to libcurl
 * (CURLOPT_PROTOCOLS_STR). Each function fails, so libcurl would tell an error if it ever came here.
 *
 * contrib/docker/collect builds it, and does without it where libcurl needs a function that is not here.
 */
#include <stddef.h>

#define FAILS(name)                                                                                                    \
    int name(void);                                                                                                    \
    int name(void)                                                                                                     \
    {                                                                                                                  \
        return -1;                                                                                                     \
    }
#define GIVES_NOTHING(name)                                                                                            \
    void *name(void);                                                                                                  \
    void *name(void)                                                                                                   \
    {                                                                                                                  \
        return NULL;                                                                                                   \
    }

GIVES_NOTHING(RTMP_Alloc) /* the first that libcurl calls: it then says that there is no memory */
FAILS(RTMP_Close)
FAILS(RTMP_Connect1)
FAILS(RTMP_ConnectStream)
FAILS(RTMP_Free)
FAILS(RTMP_Init)
FAILS(RTMP_Read)
FAILS(RTMP_SetBufferMS)
FAILS(RTMP_SetupURL)
FAILS(RTMP_Write)

FAILS(ldap_url_parse) /* the first: the URL is wrong, then */
FAILS(ldap_abandon_ext)
GIVES_NOTHING(ldap_err2string)
FAILS(ldap_free_urldesc)
FAILS(ldap_get_attribute_ber)
FAILS(ldap_get_dn_ber)
FAILS(ldap_get_option)
FAILS(ldap_init_fd)
FAILS(ldap_memfree)
FAILS(ldap_msgfree)
FAILS(ldap_msgtype)
FAILS(ldap_parse_result)
FAILS(ldap_parse_sasl_bind_result)
FAILS(ldap_pvt_url_scheme2proto)
FAILS(ldap_result)
FAILS(ldap_sasl_bind)
FAILS(ldap_search_ext)
FAILS(ldap_set_option)
FAILS(ldap_start_tls)
FAILS(ldap_unbind_ext)

FAILS(ber_bvfree)
FAILS(ber_free)
FAILS(ber_memfree)
FAILS(ber_memvfree)
FAILS(ber_sockbuf_add_io)
