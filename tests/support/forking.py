"""The process of support/forked.py that imports all programs and forks: python -m tests.support.forking DESCRIPTOR."""

import array
import atexit
import contextlib
import gc
import importlib
import json
import os
import pkgutil
import runpy
import selectors
import signal
import socket
import sys
import tempfile
import threading
import time
from typing import Any, NoReturn

import flask.cli  # noqa: F401
import gunicorn.app.wsgiapp  # noqa: F401
import pytest
import rq_dashboard.web  # noqa: F401
import valkey  # noqa: F401 - by the limits

import webapp
from tests.support import once
from webapp.config import Config


class Forks:
    """Forks on request; tells each one's exit code to the pipe that came with the request."""

    def __init__(self, client: socket.socket) -> None:
        self.client = client
        self.pipes: dict[int, int] = {}

    def serve(self) -> dict[str, Any] | None:
        """In a fork: what it is to do. In this process: nothing, once the client is gone."""
        woken, waking = os.pipe()
        os.set_blocking(waking, False)
        signal.set_wakeup_fd(waking)
        signal.signal(signal.SIGCHLD, _nothing)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the client gets it, too, and ends
        with selectors.DefaultSelector() as selector:
            selector.register(self.client, selectors.EVENT_READ)
            selector.register(woken, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is woken:
                        os.read(woken, 4096)
                        self._reap()
                    elif (wanted := self._read()) is None:
                        return self._end()
                    elif self._fork(wanted):
                        return wanted

    def _read(self) -> dict[str, Any] | None:
        rights = array.array("i", [0, 0, 0])
        length, ancillary, _, _ = self.client.recvmsg(4, socket.CMSG_SPACE(rights.itemsize * 3))
        if not length:
            return None
        rights = array.array("i", ancillary[0][2])
        said = b""
        while len(said) < int.from_bytes(length, "big"):
            said += self.client.recv(65536)
        return {**json.loads(said), "descriptors": list(rights)}

    def _fork(self, wanted: dict[str, Any]) -> bool:
        """Whether this is the fork."""
        pid = os.fork()
        if pid == 0:
            return True
        *outputs, self.pipes[pid] = wanted["descriptors"]
        for output in outputs:
            os.close(output)
        self.client.sendall(pid.to_bytes(4, "big"))
        return False

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                pipe = self.pipes.pop(ended[0])
                with contextlib.suppress(BrokenPipeError):
                    os.write(pipe, str(os.waitstatus_to_exitcode(ended[1])).encode())
                os.close(pipe)

    def _end(self) -> None:
        for pid in self.pipes:
            os.kill(pid, signal.SIGTERM)
        ends_at = time.monotonic() + 30
        while self.pipes and time.monotonic() < ends_at:
            self._reap()
            time.sleep(0.05)
        for pid in self.pipes:
            os.kill(pid, signal.SIGKILL)


def _nothing(*arguments: object) -> None:
    """So that the signal wakes the selector."""


def _become(wanted: dict[str, Any]) -> None:
    """Makes this fork what the request describes, as far as a program can see."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    stdout, stderr, _ = wanted["descriptors"]
    os.dup2(stdout, 1)
    os.dup2(stderr, 2)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.umask(wanted["umask"])
    os.environ.clear()
    os.environ.update(wanted["env"])
    time.tzset()
    os.chdir(wanted["cwd"])


def _run(arguments: list[str]) -> None:
    if arguments[0] == "-m":
        sys.argv = arguments[1:]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = arguments
        runpy.run_path(arguments[0], run_name="__main__")


def _run_and_end(arguments: list[str]) -> NoReturn:
    """Ends as Python does, but takes no objects apart: it would copy the memory that the forks share for that, which
    took longer than a web server's start."""
    code = 0
    try:
        _run(arguments)
    except SystemExit as ended:
        if not isinstance(ended.code, int | None):
            raise  # Python prints it
        code = ended.code or 0
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def _import_all() -> None:
    for found in pkgutil.walk_packages(webapp.__path__, "webapp."):
        if not found.name.endswith("__main__") and ".migrations" not in found.name:
            importlib.import_module(found.name)
    importlib.import_module("worker")


def _compile_routes() -> None:
    """For all forks: it takes half of an app's time."""
    once.share_routes(pytest.MonkeyPatch())
    with tempfile.TemporaryDirectory() as home, pytest.MonkeyPatch.context() as patch:
        once.start_no_idle_timers(patch)  # a process that forks has one thread
        config = Config.load({"LEADHOOK_HOME": home})
        for is_worker in (False, True):
            webapp.create_app(config, worker=is_worker).url_map.update()
    assert threading.active_count() == 1, threading.enumerate()


def main() -> None:
    _import_all()
    _compile_routes()
    gc.collect()
    gc.freeze()
    # Not closed when it is let go of: in a fork its number may be another file's by then.
    client = socket.socket(fileno=int(sys.argv[1]))
    wanted = Forks(client).serve()
    if wanted:
        client.detach()
        _become(wanted)
        _run_and_end(wanted["arguments"])


if __name__ == "__main__":
    main()
