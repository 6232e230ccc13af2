"""The receiver of the throughput scenarios: nginx, which answers 200 at once and costs next to nothing."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

from tests.bench.machine import nginx, running
from tests.support.receiver import free_port
from tests.support.tls import Authority
from tests.support.waiting import wait_until

CONFIGURATION = """
worker_processes 1;
daemon off;
pid nginx.pid;
error_log error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  default_type application/json;
  client_body_temp_path body; proxy_temp_path proxy;
  fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  server {{
    listen 127.0.0.1:{plain} backlog=1024;
    listen 127.0.0.1:{secure} ssl backlog=1024;
    ssl_certificate {certificate};
    ssl_certificate_key {certificate};
    location / {{ return 200 '{{"received":true}}'; }}
  }}
  server {{
    listen 127.0.0.1:{status};
    location / {{ stub_status; }}
  }}
}}
"""


class Nginx:
    """`plain` and `secure` are the URLs it answers at; `ca_file` makes the latter trusted."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        ports = {name: free_port() for name in ("plain", "secure", "status")}
        authority = Authority(directory)
        authority.valid()
        self.ca_file = authority.ca_file
        self.plain = f"http://127.0.0.1:{ports['plain']}/hook"
        self.secure = f"https://127.0.0.1:{ports['secure']}/hook"
        self._status = f"http://127.0.0.1:{ports['status']}/"
        self.configuration = directory / "nginx.conf"
        self.configuration.write_text(CONFIGURATION.format(certificate=directory / "leaf-1.pem", **ports))

    def received(self) -> int:
        """How many requests came so far, but for those of this function."""
        with urlopen(self._status, timeout=5) as answer:
            numbers = re.findall(r"\d+", answer.read().decode())
        self._asked += 1
        return int(numbers[3]) - self._asked

    def answers(self) -> bool:
        self._asked = 0
        try:
            return self.received() >= 0
        except OSError:
            return False


@contextmanager
def running_nginx(directory: Path) -> Iterator[Nginx]:
    directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    server = Nginx(directory)
    command = [str(nginx()), "-p", str(directory), "-c", str(server.configuration)]
    with running(command, os.environ, directory / "log"):
        wait_until(server.answers, "nginx to answer")
        yield server
