/* SPDX-License-Identifier: Apache-2.0 */
/* The sidecar itself: from the command line to the last scrape. */
#include "cli_common.h"
#include "cmd.h"
#include "reloads.h"
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
    "Stands in front of a service's metrics and answers each scrape with the families of the shards it asks for:\n"
    "GET /metrics?shard=3&shard_count=80. A flag wins over the file. SIGHUP reloads the file, SIGTERM lets the\n"
    "scrapes in flight come to their end. Exits 0; 1 if it cannot begin; 2 if the command line is wrong; 3 if\n"
    "scrapes had to be broken off behind web.grace.\n"
    "\n"
    "What other exporters take from --web.config.file stands in the configuration: tls_certificate, tls_key,\n"
    "tls_client_ca, basic_auth_file, bearer_token_file and allow_networks of [web], and of [admin] for its listener.\n"
    "\n"
    "The commands:\n"
    "\n"
    "  serve      the sidecar itself; the word may be left out\n"
    "  check      every mistake of a configuration file, with its place\n"
    "  plan       how a body falls into shards, what makes them uneven, and what would cure it\n"
    "  verify     proof that a running sidecar's shards are the whole\n"
    "  explain    the shard of a series, and why\n"
    "  split      a scrape without sockets: a body in, a shard's body out\n";

static int
take_version(void *ctx, const struct flag *flag, const char *value)
{
    (void)ctx, (void)flag, (void)value;
    exit(cmd_version());
}

static const struct flag flags[] = {
    {"config.file", "FILE", "the configuration; see conf/scrapeshard.ini", settings_take_file},
    {"upstream.url", "URL", "the service's metrics: http://, https:// or unix:/SOCKET:/PATH (endpoint default)",
     settings_take},
    {"web.listen-address", "ADDRESS", "where scrapes are answered (:19480); may be repeated", settings_take},
    {"admin.listen-address", "ADDRESS", "for the shard page, own metrics, health (127.0.0.1:19481); off closes it",
     settings_take},
    {"log.level", "LEVEL", "debug, info, warn or error (info)", settings_take},
    {"log.format", "FORMAT", "logfmt or json (logfmt)", settings_take},
    {"set", "SECTION.KEY=VALUE", "any setting of the file, as in endpoint.app.timeout=5s", settings_take_set},
    {"version", NULL, "the release, and the libraries it runs with", take_version},
    {NULL, NULL, NULL, NULL},
};

enum {
    SIGNALS = 3,
    /* Milliseconds for the last lines of the log: no more than web.grace, but time to write them if they can be. */
    LOG_END_MAX = 1000,
    LOG_END_MIN = 250,
};

struct program {
    struct cli_settings settings;
    struct config *config;
    struct event_base *base;
    struct log log;
    struct telemetry telemetry;
    struct rejection_log limits;
    struct server server;
    struct admin admin;
    struct reloads reloads;
    struct string_list files; /* that the configuration was read from */
    struct event *signals[SIGNALS];
    struct event *grace; /* runs behind SIGTERM */
    bool broken;         /* it ran out */
};

/* The log. */

static void
set_log(struct program *p, const struct config *config)
{
    p->log.level = (enum log_level)config->log_level;
    p->log.format = (enum log_format)config->log_format;
}

static const struct log *log_of_libevent;

/* libevent writes to standard error by itself, unless it is told otherwise. */
static void
on_libevent_message(int severity, const char *message)
{
    static const enum log_level levels[] = {[EVENT_LOG_DEBUG] = LOG_DEBUG,
                                            [EVENT_LOG_MSG] = LOG_INFO,
                                            [EVENT_LOG_WARN] = LOG_WARN,
                                            [EVENT_LOG_ERR] = LOG_ERROR};
    LOG_AT(log_of_libevent, levels[severity & 3], "libevent", log_text("reason", message));
}

static int
start_log(struct program *p)
{
    int r = log_writer_new(&p->log.writer);
    if (r)
        log_error(&p->log, "cannot start: no memory for the log", log_text("reason", strerror(-r)));
    log_of_libevent = &p->log;
    event_set_log_callback(on_libevent_message);
    return r;
}

/* After the sandbox, which would not bind a thread that is there already. Until then lines are kept. */
static int
start_log_thread(struct program *p)
{
    int r = log_writer_start(p->log.writer);
    if (r)
        log_error(&p->log, "cannot start: no thread for the log", log_text("reason", strerror(-r)));
    return r;
}

/* The last lines are written, if somebody reads them. */
static void
end_log(struct program *p, int64_t grace)
{
    int64_t most = grace < LOG_END_MIN ? LOG_END_MIN : grace < LOG_END_MAX ? grace : LOG_END_MAX;
    event_set_log_callback(NULL);
    log_writer_free(p->log.writer, most);
}

/* Reload. */

/* Leaves of each mistake its first line: a log is no place for the lines of a file, which are indented. */
static void
drop_excerpts(char *mistakes)
{
    char *to = mistakes;
    for (char *line = mistakes; *line;) {
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

/* Reads the configuration again. The old one stays in force if the new one has mistakes; why gets them. */
static bool
read_again(struct program *p, char *why, size_t size)
{
    struct config *config;
    char *mistakes = NULL;
    size_t len = 0;
    reloads_begin(&p->reloads);
    FILE *out = open_memstream(&mistakes, &len);
    int r = out ? config_read(&config, &p->settings.flags, out) : -ENOMEM;
    if (out)
        fclose(out);
    if (mistakes)
        drop_excerpts(mistakes);
    else if (r > 0)
        r = -ENOMEM;
    if (!r && (r = telemetry_apply_config(&p->telemetry, p->config, config)))
        config_unref(config);
    telemetry_reloaded(&p->telemetry, !r);
    if (r) {
        snprintf(why, size, "the configuration stays as it was: %s", r < 0 ? strerror(-r) : mistakes);
        why[strcspn(why, "\n")] = 0;
        log_error(&p->log, "reload failed", log_text("reason", r < 0 ? strerror(-r) : mistakes));
        free(mistakes);
        watch_files(p);
        return false;
    }
    free(mistakes);

    const char *restart = config_needs_restart(p->config, config);
    if (restart)
        log_warn(&p->log, "a changed setting needs a restart", log_text("setting", restart));
    config_inherit_static(config, p->config);
    config_unref(p->config);
    p->config = config;
    set_log(p, config);
    server_set_config(&p->server, config);
    admin_set_config(&p->admin, config);
    watch_files(p);
    log_info(&p->log, "reloaded", log_number("endpoints", (double)config->n_endpoints));
    return true;
}

/* Whoever it was for: a SIGHUP that waits is done with it, too. */
static bool
reload(void *ctx, char *why, size_t size)
{
    bool done = read_again(ctx, why, size);
    systemd_notify("READY=1");
    return done;
}

static void
reload_unasked(void *ctx)
{
    char why[256];
    reload(ctx, why, sizeof(why));
}

static unsigned
ask_reload(void *ctx)
{
    struct program *p = ctx;
    return reloads_ask(&p->reloads);
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
telemetry(void *ctx)
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
on_hangup(evutil_socket_t signal, short what, void *ctx)
{
    struct program *p = ctx;
    (void)signal, (void)what;
    systemd_notify_reload();
    reloads_hang_up(&p->reloads);
}

static void
on_grace_over(evutil_socket_t fd, short what, void *ctx)
{
    struct program *p = ctx;
    (void)fd, (void)what;
    log_error(&p->log, "the time for scrapes to end is over, and they are broken off", log_text("setting", "web.grace"),
              log_number("in_flight", (double)p->server.in_flight));
    p->broken = true;
    event_base_loopbreak(p->base);
}

/* The first lets scrapes end, the second does not. */
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
             log_number("in_flight", (double)p->server.in_flight));
    systemd_notify("STOPPING=1");
    struct timeval grace = {p->config->grace / 1000, p->config->grace % 1000 * 1000};
    if (event_add(p->grace, &grace)) /* there is no memory to wait for it */
        event_active(p->grace, EV_TIMEOUT, 0);
    server_drain(&p->server, on_idle, p);
}

/* One that comes before there is somebody to hear it waits. It would end the program. */
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
    } watched[SIGNALS] = {{SIGHUP, on_hangup}, {SIGTERM, on_terminate}, {SIGINT, on_terminate}};

    signal(SIGPIPE, SIG_IGN);
    p->grace = evtimer_new(p->base, on_grace_over, p);
    if (!p->grace)
        return -ENOMEM;
    for (int i = 0; i < SIGNALS; i++) {
        p->signals[i] = evsignal_new(p->base, watched[i].signal, watched[i].callback, p);
        if (!p->signals[i] || event_add(p->signals[i], NULL))
            return -ENOMEM;
    }
    block_sighup(SIG_UNBLOCK);
    return 0;
}

/* The program. */

enum {
    /* What the heap keeps of memory that was given back, instead of giving it on to the system at once: more than a
       scrape takes, for else every scrape gets its pages anew, which costs as much as all that is done with them. */
    HEAP_KEPT = 1024 * 1024,
    /* How much it takes more than it is asked for. */
    HEAP_AHEAD = 128 * 1024,
};

static int
listen_admin(struct program *p)
{
    char bound[160];
    const char *address = p->config->admin_listen;
    struct admin_hooks hooks = {is_ready, ask_reload, reload, config_in_force, telemetry, p};

    if (!strcmp(address, "off"))
        return 0;
    int r = admin_init(&p->admin, p->base, &p->limits, &hooks);
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

/* Who connects to a socket that systemd passed in vain waits for ever. */
static void
warn_of_sockets(const struct program *p)
{
    char name[256];
    for (int fd = systemd_unclaimed_socket(0, NULL); fd >= 0; fd = systemd_unclaimed_socket(fd + 1, NULL)) {
        systemd_socket_name(fd, name, sizeof(name));
        log_warn(&p->log, "systemd passed a socket that nobody listens on", log_text("name", name));
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
    const char *part = "the event loop";
    errno = 0;
    p->base = loop_new();
    int r = p->base ? 0 : errno ? -errno : -ENOMEM;
    telemetry_init(&p->telemetry, outcome_word);
    rejection_log_init(&p->limits, &p->log, &p->telemetry);
    fd_reserve_init(on_fd_rejected, &p->limits);
    if (!r) {
        part = "the server of scrapes";
        r = server_init(&p->server, p->base, &p->limits, p->config);
    }
    if (!r) {
        part = "telemetry";
        r = telemetry_apply_config(&p->telemetry, NULL, p->config);
    }
    if (!r) {
        part = "reloads";
        r = reloads_init(&p->reloads, p->base, &p->log, reload_unasked, p);
    }
    if (!r) {
        part = "signals";
        r = watch_signals(p);
    }
    if (r) {
        log_error(&p->log, "cannot start", log_text("failed", part), log_text("reason", strerror(-r)));
        return r;
    }
    log_info(&p->log, "scrapeshard begins", log_text("version", SS_VERSION), log_text("libevent", event_get_version()),
             log_text("libcurl", curl_version_info(CURLVERSION_NOW)->version));
    r = server_listen(&p->server);
    if (!r)
        r = listen_admin(p);
    if (!r)
        warn_of_sockets(p);
    return r;
}

/* Behind the last listener: ports below 1024 and socket files are taken. */
static void
give_up_privileges(struct program *p)
{
    struct sandbox sandbox = sandbox_enter(p->config->sandbox == SANDBOX_ON);
    log_info(&p->log, "privileges given up", log_text("no_new_privs", sandbox.privileges ? "yes" : "no"),
             log_text("capabilities", sandbox.capabilities ? "yes" : "no"),
             log_text("landlock", sandbox.landlock ? "yes" : "no"),
             log_text("seccomp", sandbox.seccomp ? "yes" : "no"));
}

static int
run(struct program *p)
{
    int r = alloc_reserve_install();
    if (r) {
        fputs("scrapeshard: cannot start: libcurl: out of memory\n", stderr);
        return EXIT_FAILED;
    }
    p->settings.flags.files = &p->files;
    reloads_begin(&p->reloads);
    int status = cli_read_config(&p->settings.flags, &p->config);
    if (status)
        return status;
    set_log(p, p->config);
    if (start_log(p) || start(p))
        return EXIT_FAILED;
    give_up_privileges(p);
    if (start_log_thread(p))
        return EXIT_FAILED;
    watch_files(p);
    systemd_notify("READY=1");
    if (event_base_dispatch(p->base) < 0) {
        log_error(&p->log, "the event loop failed", log_text("reason", strerror(errno)));
        return EXIT_FAILED;
    }
    scrape_log_minute(&p->log, &p->telemetry);
    log_info(&p->log, "scrapeshard ends", log_number("in_flight", (double)p->server.in_flight));
    return p->broken ? EXIT_DRAIN_TIMEOUT : EXIT_SUCCESS;
}

int
cmd_serve(int argc, char **argv)
{
    struct program p = {.config = NULL};
    block_sighup(SIG_BLOCK);
    int at = flags_read(argc, argv, flags, usage, &p.settings), status;

    if (at < 0)
        status = -at;
    else if (at < argc)
        status = flags_refuse("there is no command %s", argv[at]);
    else
        status = run(&p);

    reloads_deinit(&p.reloads);
    admin_deinit(&p.admin);
    server_deinit(&p.server);
    telemetry_deinit(&p.telemetry);
    for (int i = 0; i < SIGNALS; i++)
        if (p.signals[i])
            event_free(p.signals[i]);
    if (p.grace)
        event_free(p.grace);
    if (p.base)
        event_base_free(p.base);
    fd_reserve_deinit();
    int64_t grace = p.config && !p.broken ? p.config->grace : 0;
    config_unref(p.config);
    string_list_clear(&p.files);
    settings_deinit(&p.settings);
    curl_global_cleanup();
    libevent_global_shutdown();
    end_log(&p, grace);
    return status;
}
