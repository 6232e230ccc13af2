#!/usr/bin/env bash
# A web server that is told to stop while a worker starts, takes as long as a stop may take.
#
# One expects: SIGTERM ends a gunicorn whose workers have nothing to do at once, whenever it comes. A worker that has
#   not begun yet has the least to finish.
# What happens: gunicorn's main process hands SIGTERM on to its workers once. A worker that was just forked still has
#   the main process's own handlers, which only put the signal into a queue, and nobody reads the copy of that queue
#   that the worker has. The worker sets its own handlers a little later, and knows nothing of the stop. So the main
#   process waits for graceful_timeout (30 seconds by default), and then kills the worker.
# Versions: gunicorn 27.0.1.
# Seen: the table at the end. The hook post_fork makes the worker's start last two seconds, as a slow disk or a hook that
#   opens connections would.
# Why it matters: whoever starts and soon stops a server (a deployment that is rolled back, a test) sees each such stop
#   last half a minute. A worker that is begun by gunicorn itself, in place of one that ended, can meet a stop too.
#   Setting SIGTERM back to its default at the beginning of post_fork ends such a worker at once.
#
# Needs python3 with venv.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

python3 -m venv env
env/bin/pip -q install gunicorn==27.0.1 2>/dev/null

cat >app.py <<'PY'
def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
PY

cat >look.py <<'PY'
import signal
import subprocess
import sys
import time
from pathlib import Path

GRACE = 6
HOOKS = {
    "while a worker starts": "def post_fork(server, worker):\n    print('starts', flush=True)\n    time.sleep(2)\n",
    "once it has started": "def post_worker_init(worker):\n    print('starts', flush=True)\n",
    "while one starts that has reset SIGTERM": "def post_fork(server, worker):\n"
    "    signal.signal(signal.SIGTERM, signal.SIG_DFL)\n    print('starts', flush=True)\n    time.sleep(2)\n",
}

for name, hook in HOOKS.items():
    settings = f"bind = '127.0.0.1:0'\ngraceful_timeout = {GRACE}\ncontrol_socket_disable = True\nloglevel = 'critical'\n"
    Path("conf.py").write_text(f"import signal\nimport time\n\n{settings}\n\n{hook}")
    command = [sys.executable, "-m", "gunicorn", "-c", "conf.py", "app:app"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout.readline() == "starts\n"
        time.sleep(1)
        began = time.monotonic()
        running.send_signal(signal.SIGTERM)
        code = running.wait(timeout=60)
        took = time.monotonic() - began
    print(f"stopped {name}: exit {code}, {'after graceful_timeout' if took >= GRACE else 'at once' if took < 2 else took}")
PY
env/bin/python look.py | tee seen

cat >expected <<'TXT'
stopped while a worker starts: exit 0, after graceful_timeout
stopped once it has started: exit 0, at once
stopped while one starts that has reset SIGTERM: exit 0, at once
TXT
diff expected seen && echo "As described."
