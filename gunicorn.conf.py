"""gunicorn reads this file when it is started in this directory: `gunicorn 'webapp:create_app()'`.

Options on gunicorn's command line take precedence.
"""

import gc
import signal
import sys
import tempfile
import threading

from webapp import private_home
from webapp.config import Config, ConfigError
from webapp.delivery.rings import bell
from webapp.services.signs import start

try:
    _config = Config.load()
    private_home.close(_config)
except ConfigError as error:  # reported here once, instead of by each worker with a traceback
    sys.exit(str(error))

try:
    tempfile.gettempdir()
except FileNotFoundError:  # a container whose root is read-only: gunicorn's workers need a file that they can touch
    tempfile.tempdir = worker_tmp_dir = str(_config.home)

bind = f"127.0.0.1:{_config.port}"
workers = 2
preload_app = True  # importing takes a second of processor time, forking takes none
worker_class = "webapp.servers.patient_worker.PatientWorker"  # gthread, but clients that stall take no thread
threads = 16
sendfile = False  # it would wait for a client that does not read without a limit
timeout = 60
graceful_timeout = 15
limit_request_line = 8190  # bytes, enough for a form's address that contains its page's address; beyond it: 414
limit_request_fields, limit_request_field_size = 100, 8190  # headers, and bytes of each; beyond it: 431
loglevel = "warning"
forwarded_allow_ips = ""  # only TRUSTED_PROXIES decides whether X-Forwarded-* headers are used
control_socket_disable = True


def when_ready(server):  # type: ignore[no-untyped-def]
    """A socket file has no client addresses: without proxies that name them, all visitors are one."""
    if not _config.trusted_proxies and any(isinstance(address, str) for address in server.cfg.address):
        print(  # noqa: T201 - for the person at the terminal
            "On a unix socket visitors have no address and share one rate limit: set TRUSTED_PROXIES.",
            file=sys.stderr,
        )


def _warn(app):  # type: ignore[no-untyped-def]
    """On a thread: a database that does not answer delays no request."""
    with app.app_context():
        start.warn()


def post_fork(server, worker):  # type: ignore[no-untyped-def]
    """Until a process sets its own handlers, it has those of gunicorn's main process: a signal to stop would be lost,
    and the stop would last `graceful_timeout` (findings/stop-while-starting.sh)."""
    for name in (signal.SIGTERM, signal.SIGQUIT, signal.SIGINT):
        signal.signal(name, signal.SIG_DFL)


def post_worker_init(worker):  # type: ignore[no-untyped-def]
    """Starts what needs a thread, because threads do not survive the fork.

    Objects that exist now are never garbage: freezing them saves the garbage collector from scanning them.
    """
    with worker.wsgi.app_context():
        bell.start(worker.wsgi)
    if worker.age == 1 and not getattr(worker.app, "is_checked", False):  # the first one speaks for all
        threading.Thread(target=_warn, args=(worker.wsgi,), daemon=True).start()
    gc.freeze()
