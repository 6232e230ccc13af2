"""Leadhook, a self-hosted lead-capture server with signed webhooks. `create_app` puts the parts together."""

# ruff: noqa: E402
import gc

gc.disable()  # until all is imported: nothing of it is garbage, and looking for some took a sixth of the time

from pathlib import Path
from threading import Lock
from typing import Any

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from webapp import blueprints, cli, extensions, log, private_home
from webapp.blueprints.api import short_leads
from webapp.blueprints.short_way import ShortWay, go_together
from webapp.config import Config
from webapp.db import bulk, engines, transactions
from webapp.db.slow_reads import Room, Turns
from webapp.db.write_turns import GroupCommit
from webapp.delivery.rings import Bell, Queues
from webapp.servers import redis_server
from webapp.services.files.storage import FileStore
from webapp.services.intake import capture
from webapp.services.signs.counters import PostCounters
from webapp.services.signs.readiness import Probe
from webapp.services.webhooks.feed_horizon import Horizon
from webapp.services.webhooks.feed_watch import FeedWatch
from webapp.web import busy, error_pages, filters, htmx, roles, security, sessions, unread_bodies
from webapp.web.api.rates import ApiLimit
from webapp.web.limits import ClientAddress, FormLimit
from webapp.web.sign_in_limits import SignInLimits

gc.enable()
gc.freeze()  # or all of it would be looked through, and taken apart, when a process ends: half a second

__version__ = "1.0.0"

MAX_BODY = 256 * 1024  # bytes of a request body: enough for a lead's longest message, percent-encoded


def create_app(
    config: Config | None = None,
    *,
    worker: bool = False,
    plans_once: bool = False,
    short_way: bool = True,
    connections: tuple[int, int] = (16, 4),
) -> Flask:
    """The WSGI application, or the app of a `worker` process.

    `plans_once`: PostgreSQL plans each statement once per connection. `short_way`: whether everyday requests for forms
    are answered without Flask. `connections`: how many database connections a process may hold for transactions (as
    many as gunicorn.conf.py has threads), and how many for autocommit statements.
    """
    config = config or Config.load()
    private_home.close(config)
    app = Flask("webapp", root_path=str(Path(__file__).parent), instance_path=str(config.home))
    app.config.from_mapping(_flask_config(config, worker, plans_once, connections))
    app.extensions["leadhook_config"] = config
    app.wsgi_app = busy.RefusesEarly(app)  # type: ignore[method-assign]
    if short_way:
        app.wsgi_app = ShortWay(app, short_leads.WAYS)  # type: ignore[method-assign]
    app.wsgi_app = ClientAddress(app.wsgi_app)  # type: ignore[method-assign]
    if config.trusted_proxies:
        hops = config.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops)  # type: ignore[method-assign]
    if short_way:
        app.extensions["leadhook_together"] = app.wsgi_app, go_together(short_leads.WAYS)

    log.configure()
    extensions.db.init_app(app)
    transactions.bind(app)
    extensions.migrate.init_app(app)
    extensions.login.init_app(app)
    extensions.mail.init_app(app)
    extensions.limiter.init_app(app)
    app.extensions.update(_parts(app, config))
    for part in (unread_bodies, sessions, busy, security, error_pages, filters, htmx, blueprints, cli):
        part.init_app(app)
    extensions.csrf.init_app(app)  # it reads the form, so it comes after security has checked the request
    roles.check(app)
    return app


def _parts(app: Flask, config: Config) -> dict[str, object]:
    """What belongs to this app alone: see per_app.py."""
    with app.app_context():
        begin, room = extensions.db.session.connection, Room()
        return {
            "leadhook_queues": Queues(config.redis_url),
            "leadhook_bell": Bell(),
            "leadhook_captures": GroupCommit(capture.capture, bulk.plain_transaction, bulk.plain),
            "leadhook_other_captures": GroupCommit(capture.capture, transactions.transaction, begin),
            "leadhook_feed_horizon": Horizon(),
            "leadhook_feed_watch": FeedWatch(),
            "leadhook_published_forms": {},
            "leadhook_callers": {},
            "leadhook_connectors": {},
            "leadhook_signers": {},
            "leadhook_token_sources": {},
            "leadhook_file_store": FileStore(config),
            "leadhook_form_limit": FormLimit(config.form_rate_limit),
            "leadhook_api_limit": ApiLimit(config.api_rate_limit),
            "leadhook_sign_in_limits": SignInLimits(),
            "leadhook_reports": Lock(),
            "leadhook_post_counters": PostCounters(),
            "leadhook_readiness": Probe(transactions.transaction),
            "leadhook_database_trouble": log.Trouble("the database does not answer", "the database answers again"),
            "leadhook_searches": Turns(config.home, "search", room),
            "leadhook_exports": Turns(config.home, "export", room),
        }


def _flask_config(config: Config, worker: bool, plans_once: bool, connections: tuple[int, int]) -> dict[str, Any]:
    https = config.public_url.startswith("https://")
    counts_at, counts_with = redis_server.storage_of_limits(config.redis_url)
    database = config.database_url, config.prepared_statements, plans_once
    return {
        "LEADHOOK_VERSION": __version__,
        "SECRET_KEY": config.secret_key,
        "MAX_CONTENT_LENGTH": MAX_BODY,
        "MAX_FORM_MEMORY_SIZE": MAX_BODY,
        "MAX_FORM_PARTS": security.MAX_FIELDS,
        "SESSION_COOKIE_NAME": "__Host-leadhook" if https else "leadhook",
        "SESSION_COOKIE_SECURE": https,
        "SESSION_COOKIE_HTTPONLY": True,
        "SESSION_COOKIE_SAMESITE": "Lax",
        "REMEMBER_COOKIE_NAME": "__Host-leadhook-remember" if https else "leadhook-remember",
        "REMEMBER_COOKIE_SECURE": https,
        "REMEMBER_COOKIE_HTTPONLY": True,
        "REMEMBER_COOKIE_SAMESITE": "Lax",
        "REMEMBER_COOKIE_DURATION": 30 * 24 * 3600,
        "WTF_CSRF_TIME_LIMIT": None,  # as long as the session, so that a form left open for hours is not refused
        "WTF_CSRF_SSL_STRICT": False,  # security.py checks Sec-Fetch-Site instead, which needs no referrer
        "SQLALCHEMY_DATABASE_URI": config.database_url,
        "SQLALCHEMY_ENGINE_OPTIONS": engines.options(*database, connections[0], bulk.json_text),
        "SQLALCHEMY_BINDS": engines.binds(*database, connections[1]),
        # FULL, so that an accepted lead survives a power cut. A worker could only lose records of attempts, and would
        # then repeat these attempts.
        "SQLITE_SYNCHRONOUS": "NORMAL" if worker else "FULL",
        "RATELIMIT_STORAGE_URI": counts_at,
        "RATELIMIT_STORAGE_OPTIONS": {"socket_timeout": 0.2, "socket_connect_timeout": 0.2, **counts_with},
        "RATELIMIT_STRATEGY": "moving-window",
        "RATELIMIT_IN_MEMORY_FALLBACK_ENABLED": True,  # without Redis each process keeps its own count
        "RATELIMIT_SWALLOW_ERRORS": True,  # if Redis fails during a request, the count is lost, and no error page
        "MAIL_SERVER": config.mail_server or "",
        "MAIL_PORT": config.mail_port,
        "MAIL_USE_TLS": config.mail_use_tls,
        "MAIL_USE_SSL": config.mail_use_ssl,
        "MAIL_USERNAME": config.mail_username,
        "MAIL_PASSWORD": config.mail_password,
        "MAIL_DEFAULT_SENDER": config.mail_default_sender,
    }
