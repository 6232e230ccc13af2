"""Read by gunicorn where it is started in this directory: `gunicorn 'webapp:create_app()'`. Its command line wins."""

import gc
import sys

from webapp.config import Config, ConfigError
from webapp.delivery.bell import bell

try:
    _config = Config.load()
except ConfigError as error:  # here, so that it is said once and not by each worker with a traceback
    sys.exit(str(error))

bind = f"127.0.0.1:{_config.port}"
workers = 2
preload_app = True  # importing takes two seconds of a processor, forking none
worker_class = "gthread"
threads = 16
timeout = 60
graceful_timeout = 15
limit_request_line = 8190  # bytes: room for a form's address with its page's in it; more is answered 414
limit_request_fields, limit_request_field_size = 100, 8190  # headers, and bytes of each; more is answered 431
loglevel = "warning"
forwarded_allow_ips = ""  # TRUSTED_PROXIES alone decides what X-Forwarded-* is worth
control_socket_disable = True


def post_worker_init(worker):  # type: ignore[no-untyped-def]
    """After the fork, for threads do not survive one; what stands now is never garbage, and is not looked through."""
    with worker.wsgi.app_context():
        bell.start(worker.wsgi)
    gc.freeze()
