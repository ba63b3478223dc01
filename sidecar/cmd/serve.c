/* SPDX-License-Identifier: Apache-2.0 */
/* The sidecar itself, from the command line to the last scrape. */
#include "cmd.h"
#include "reloads.h"
#include "serve_log.h"
#include "settings.h"
#include "telemetry_config.h"

#include "proxy/outcome.h"
#include "proxy/scrape_log.h"
#include "proxy/server.h"
#include "service/admin/admin.h"
#include "service/base/alloc_reserve.h"
#include "service/base/fd_reserve.h"
#include "service/base/log_writer.h"
#include "service/base/loop.h"
#include "service/base/peer.h"
#include "service/base/sandbox.h"
#include "service/base/systemd.h"
#include "service/config/upstream_url.h"
#include "service/http/http.h"
#include "service/http/listen.h"
#include "service/telemetry/rejection_log.h"

#include <scrapeshard/version.h>

#include <curl/curl.h>
#include <errno.h>
#include <event2/event.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "scrapeshard [serve] --upstream.url=URL [flags]\n"
    "scrapeshard [serve] --config.file=FILE [flags]\n"
    "scrapeshard COMMAND --help\n"
    "\n"
    "Runs in front of an upstream's metrics endpoint and responds to each scrape with the families of the shards\n"
    "that it requests: GET /metrics?shard=3&shard_count=80. Flags override the file. SIGHUP reloads the "
    "configuration,\n"
    "SIGTERM drains in-flight scrapes. Exits 0; 1 if startup fails; 2 if the command line is invalid; 3 if scrapes\n"
    "were aborted when web.grace expired.\n"
    "\n"
    "What other exporters read from --web.config.file is part of the configuration: tls_certificate, tls_key,\n"
    "tls_client_ca, basic_auth_file, bearer_token_file and allow_networks in [web], and in [admin] for its listener.\n"
    "\n"
    "Commands:\n"
    "\n"
    "  serve      run the sidecar (the default command)\n"
    "  check      report every error of a configuration file, with its line\n"
    "  plan       show how a body is distributed over shards, what makes it uneven, and which split rules help\n"
    "  verify     prove that the shards of a running sidecar are complete and disjoint\n"
    "  explain    show the shard of a series, and why\n"
    "  rules      report which recording and alerting rules are right, and what makes the others right\n"
    "  split      filter a body to some shards, as a scrape would\n";

static int
show_version(void *target, const struct flag *flag, const char *value)
{
    (void)target, (void)flag, (void)value;
    exit(cmd_version());
}

enum { SIGNALS = 3 };

struct program {
    struct config_flags settings;
    struct config *config;
    struct event_base *base;
    struct log log;
    struct telemetry telemetry;
    struct rejection_log rejections;
    struct server server;
    struct admin admin;
    struct reloads reloads;
    struct string_list files; /* of the configuration */
    struct event *signals[SIGNALS];
    struct event *drain_timer; /* runs after SIGTERM */
    bool drain_timed_out;
};

/* Reload. */

/* Keeps the first line of each error: the excerpts of the file, which are indented, do not belong in a log. */
static void
drop_excerpts(char *errors)
{
    char *to = errors;
    for (char *line = errors; *line;) {
        size_t n = strcspn(line, "\n");
        n += line[n] != 0;
        if (*line != ' ') {
            memmove(to, line, n);
            to += n;
        }
        line += n;
    }
    *to = 0;
}

static void
watch_files(struct program *p)
{
    reloads_end(&p->reloads, &p->files, p->config->watch_files == WATCH_FILES_ON);
}

/* Reads the configuration again. If it has errors, the current one stays in force and why gets them. */
static bool
read_again(struct program *p, char *why, size_t size)
{
    struct config *config;
    char *errors = NULL;
    size_t len = 0;
    reloads_begin(&p->reloads);
    p->settings.again = true;
    FILE *out = open_memstream(&errors, &len);
    int r = out ? config_read(&config, &p->settings, out) : -ENOMEM;
    if (out)
        fclose(out);
    if (errors)
        drop_excerpts(errors);
    else if (r > 0)
        r = -ENOMEM;
    if (!r && (r = telemetry_apply_config(&p->telemetry, p->config, config)))
        config_unref(config);
    telemetry_reloaded(&p->telemetry, !r);
    if (r) {
        snprintf(why, size, "keeping the current configuration: %s", r < 0 ? strerror(-r) : errors);
        why[strcspn(why, "\n")] = 0;
        log_error(&p->log, "reload failed", log_text("reason", r < 0 ? strerror(-r) : errors));
        free(errors);
        watch_files(p);
        return false;
    }
    free(errors);

    const char *restart = config_needs_restart(p->config, config);
    if (restart)
        log_warn(&p->log, "a changed setting needs a restart", log_text("setting", restart));
    config_inherit_static(config, p->config);
    config_unref(p->config);
    p->config = config;
    serve_log_set(&p->log, config);
    server_set_config(&p->server, config);
    admin_set_config(&p->admin, config);
    scrape_log_announcement(&p->log, &p->telemetry);
    watch_files(p);
    log_info(&p->log, "reloaded", log_number("endpoints", (double)config->n_endpoints));
    return true;
}

/* Whatever requested it, systemd may be waiting for the end of a reload by SIGHUP. */
static bool
reload(void *ctx, char *why, size_t size)
{
    bool done = read_again(ctx, why, size);
    systemd_notify("READY=1");
    return done;
}

static void
reload_without_reply(void *ctx)
{
    char why[256];
    reload(ctx, why, sizeof(why));
}

static unsigned
admit_reload(void *ctx)
{
    struct program *p = ctx;
    return reloads_admit_request(&p->reloads);
}

static bool
is_ready(void *ctx)
{
    struct program *p = ctx;
    return !p->server.draining;
}

static const struct config *
config_in_force(void *ctx)
{
    struct program *p = ctx;
    return p->config;
}

static const struct telemetry *
current_telemetry(void *ctx)
{
    struct program *p = ctx;
    server_update_gauges(&p->server);
    p->telemetry.log_lines_dropped = log_writer_dropped(p->log.writer);
    p->telemetry.http_connections[LISTENER_ADMIN] = (double)http_connections(p->admin.http);
    return &p->telemetry;
}

/* Signals. */

static void
on_idle(void *ctx)
{
    struct program *p = ctx;
    event_base_loopexit(p->base, NULL);
}

static void
on_sighup(evutil_socket_t signal, short what, void *ctx)
{
    struct program *p = ctx;
    (void)signal, (void)what;
    systemd_notify_reload();
    reloads_on_sighup(&p->reloads);
}

static void
on_drain_timeout(evutil_socket_t fd, short what, void *ctx)
{
    struct program *p = ctx;
    (void)fd, (void)what;
    log_error(&p->log, "drain timeout expired, aborting in-flight scrapes", log_text("setting", "web.grace"),
              log_number("in_flight", (double)p->server.proxy.in_flight));
    p->drain_timed_out = true;
    event_base_loopbreak(p->base);
}

/* The first signal drains, the second exits at once. */
static void
on_terminate(evutil_socket_t signal, short what, void *ctx)
{
    struct program *p = ctx;
    (void)what;
    if (p->server.draining) {
        event_base_loopbreak(p->base);
        return;
    }
    log_info(&p->log, "shutting down", log_text("signal", strsignal(signal)),
             log_number("in_flight", (double)p->server.proxy.in_flight));
    systemd_notify("STOPPING=1");
    struct timeval grace = {p->config->grace / 1000, p->config->grace % 1000 * 1000};
    if (event_add(p->drain_timer, &grace)) /* out of memory: do not wait */
        event_active(p->drain_timer, EV_TIMEOUT, 0);
    server_drain(&p->server, on_idle, p);
}

/* Until its handler is installed, SIGHUP would kill the process. */
static void
block_sighup(int how)
{
    sigset_t hangup;
    sigemptyset(&hangup);
    sigaddset(&hangup, SIGHUP);
    sigprocmask(how, &hangup, NULL);
}

static int
watch_signals(struct program *p)
{
    static const struct {
        int signal;
        event_callback_fn callback;
    } handlers[SIGNALS] = {{SIGHUP, on_sighup}, {SIGTERM, on_terminate}, {SIGINT, on_terminate}};

    signal(SIGPIPE, SIG_IGN);
    p->drain_timer = evtimer_new(p->base, on_drain_timeout, p);
    if (!p->drain_timer)
        return -ENOMEM;
    for (int i = 0; i < SIGNALS; i++) {
        p->signals[i] = evsignal_new(p->base, handlers[i].signal, handlers[i].callback, p);
        if (!p->signals[i] || event_add(p->signals[i], NULL))
            return -ENOMEM;
    }
    block_sighup(SIG_UNBLOCK);
    return 0;
}

/* The program. */

enum {
    /* Free memory that the heap keeps instead of returning it to the system: more than a scrape needs. Otherwise every
       scrape faults its pages in again, which costs as much as all the work on them. */
    HEAP_KEPT = 1024 * 1024,
    /* What it takes from the system beyond what is requested. */
    HEAP_AHEAD = 128 * 1024,
};

static int
listen_admin(struct program *p)
{
    char bound[160];
    const char *address = p->config->admin_listen;
    struct admin_hooks hooks = {is_ready, admit_reload, reload, config_in_force, current_telemetry, p};

    if (!strcmp(address, "off"))
        return 0;
    int r = admin_init(&p->admin, p->base, &p->rejections, &hooks);
    if (!r)
        admin_set_config(&p->admin, p->config);
    do {
        if (!r)
            r = http_listen(p->admin.http, address, bound, sizeof(bound));
        if (r)
            log_error(&p->log, "cannot listen for administration", log_text("address", address),
                      log_text("reason", listen_reason(address, r)));
        else
            log_info(&p->log, "listening for administration", log_text("address", bound));
    } while (!r && listen_has_more(address));
    return r;
}

/* Whoever connects to a socket that systemd passed and no listener uses waits for ever. */
static void
warn_of_sockets(const struct program *p)
{
    char name[256];
    for (int fd = systemd_unclaimed_socket(0, NULL); fd >= 0; fd = systemd_unclaimed_socket(fd + 1, NULL)) {
        systemd_socket_name(fd, name, sizeof(name));
        log_warn(&p->log, "systemd passed a socket that no listener uses", log_text("name", name));
    }
}

static void
on_fd_rejected(const struct peer *peer, void *ctx)
{
    char text[PEER_TEXT];
    peer_print(peer, text);
    rejection_report(ctx, LIMIT_DESCRIPTORS, text, NULL);
}

static int
start(struct program *p)
{
    mallopt(M_TRIM_THRESHOLD, HEAP_KEPT);
    mallopt(M_TOP_PAD, HEAP_AHEAD);
    const char *step = "event loop";
    errno = 0;
    p->base = loop_new();
    int r = p->base ? 0 : errno ? -errno : -ENOMEM;
    telemetry_init(&p->telemetry, outcome_word);
    rejection_log_init(&p->rejections, &p->log, &p->telemetry);
    fd_reserve_init(on_fd_rejected, &p->rejections);
    if (!r) {
        step = "scrape server";
        r = server_init(&p->server, p->base, &p->rejections, p->config);
    }
    if (!r) {
        step = "telemetry";
        r = telemetry_apply_config(&p->telemetry, NULL, p->config);
    }
    if (!r) {
        step = "reloads";
        r = reloads_init(&p->reloads, p->base, &p->log, reload_without_reply, p);
    }
    if (!r) {
        step = "signals";
        r = watch_signals(p);
    }
    if (r) {
        log_error(&p->log, "startup failed", log_text("failed", step), log_text("reason", strerror(-r)));
        return r;
    }
    log_info(&p->log, "starting scrapeshard", log_text("version", SS_VERSION),
             log_text("libevent", event_get_version()),
             log_text("libcurl", curl_version_info(CURLVERSION_NOW)->version));
    r = server_listen(&p->server);
    if (!r)
        r = listen_admin(p);
    if (!r)
        warn_of_sockets(p);
    return r;
}

/* After the last listener: ports below 1024 are bound, socket files created. */
static void
drop_privileges(struct program *p)
{
    struct sandbox sandbox = sandbox_enter(p->config->sandbox == SANDBOX_ON);
    log_info(&p->log, "privileges dropped", log_text("no_new_privs", sandbox.privileges ? "yes" : "no"),
             log_text("capabilities", sandbox.capabilities ? "yes" : "no"),
             log_text("landlock", sandbox.landlock ? "yes" : "no"),
             log_text("seccomp", sandbox.seccomp ? "yes" : "no"));
}

static int
run(struct program *p)
{
    int r = alloc_reserve_install();
    if (r) {
        fputs("scrapeshard: startup failed: libcurl: out of memory\n", stderr);
        return EXIT_FAILED;
    }
    p->settings.files = &p->files;
    reloads_begin(&p->reloads);
    int status = settings_read(&p->settings, &p->config);
    if (status)
        return status;
    serve_log_set(&p->log, p->config);
    if (serve_log_start(&p->log) || start(p))
        return EXIT_FAILED;
    drop_privileges(p);
    if (serve_log_start_thread(&p->log))
        return EXIT_FAILED;
    watch_files(p);
    systemd_notify("READY=1");
    if (event_base_dispatch(p->base) < 0) {
        log_error(&p->log, "the event loop failed", log_text("reason", strerror(errno)));
        return EXIT_FAILED;
    }
    scrape_log_summaries(&p->log, &p->telemetry);
    log_info(&p->log, "exiting", log_number("in_flight", (double)p->server.proxy.in_flight));
    return p->drain_timed_out ? EXIT_DRAIN_TIMEOUT : EXIT_SUCCESS;
}

/* It may be a URL that was meant for a flag. */
static int
refuse_command(const char *word)
{
    char *shown = url_shown(word);
    int status = flags_refuse("unknown command %s", shown ? shown : "");
    free(shown);
    return status;
}

int
cmd_serve(int argc, char **argv)
{
    struct program p = {.config = NULL};
    const struct flag flags[] = {
        SETTINGS_FLAGS(&p.settings),
        {"version", NULL, "show the version, and those of the libraries", show_version, NULL},
        FLAGS_END,
    };
    block_sighup(SIG_BLOCK);
    int at = flags_read(argc, argv, flags, usage), status;

    if (at < 0)
        status = -at;
    else if (at < argc)
        status = refuse_command(argv[at]);
    else
        status = run(&p);

    reloads_deinit(&p.reloads);
    admin_deinit(&p.admin);
    server_deinit(&p.server);
    telemetry_deinit(&p.telemetry);
    for (int i = 0; i < SIGNALS; i++)
        if (p.signals[i])
            event_free(p.signals[i]);
    if (p.drain_timer)
        event_free(p.drain_timer);
    if (p.base)
        event_base_free(p.base);
    fd_reserve_deinit();
    int64_t grace = p.config && !p.drain_timed_out ? p.config->grace : 0;
    config_unref(p.config);
    string_list_clear(&p.files);
    settings_deinit(&p.settings);
    curl_global_cleanup();
    libevent_global_shutdown();
    serve_log_end(&p.log, grace);
    return status;
}
