"""Forks: child processes that go on with what this process has imported and built, so that all share that memory."""

import contextlib
import ctypes
import gc
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from typing import NoReturn

PR_SET_PDEATHSIG, PR_SET_NAME = 1, 15
# A terminal sends these to all processes of the group at once. The children block them, and are stopped in order.
FROM_TERMINAL = {signal.SIGINT, signal.SIGHUP}

LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class Forked:
    """A fork of this process that does `work`, which returns its exit code. Used like a subprocess.Popen.

    No thread may run and no connection be open: a fork has no threads, and would share the connections.
    """

    def __init__(self, work: Callable[[], int], title: str) -> None:
        if threading.active_count() > 1:
            raise RuntimeError(f"threads run where a process forks: {threading.enumerate()}")
        self.returncode: int | None = None
        parent = os.getpid()
        sys.stdout.flush()
        sys.stderr.flush()
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # else our handler could take the child's
        self.pid = os.fork()
        if self.pid == 0:
            _live(work, title, parent)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)

    def poll(self) -> int | None:
        """The exit code; negative for a signal; None while it runs."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def wait(self) -> int:
        """Waits for its end; returns the exit code."""
        if self.returncode is None:
            self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.returncode

    def terminate(self) -> None:
        """Asks it to end."""
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        """Ends it at once."""
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)


def share_memory() -> None:
    """Before forks: nothing that exists now is garbage, and the collector writes into what it looks through. A page
    that a process writes into is no longer shared."""
    gc.collect()
    if LIBC is not None and hasattr(LIBC, "malloc_trim"):  # glibc
        LIBC.malloc_trim(0)
    gc.freeze()


def _live(work: Callable[[], int], title: str, parent: int) -> NoReturn:
    """The life of a fork."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGCHLD, *FROM_TERMINAL):
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, signal.SIG_DFL)
        begin(parent)
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))  # such as the lock of LEADHOOK_HOME, which its holder lets go
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        _rename(title)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        gc.enable()
        code = work()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:  # noqa: BLE001 - printed here, because _exit prints nothing
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        # Does not wait for threads: a send past its deadline must not delay the end. Once the lease of its lane is
        # over, the lead is sent again.
        os._exit(code)


def _rename(title: str) -> None:
    """Has `ps` show the title instead of the parent's command. Only on Linux: it overwrites the process's arguments."""
    if LIBC is None:
        return
    with contextlib.suppress(OSError, ValueError, IndexError):
        file = os.open("/proc/self/stat", os.O_RDONLY)  # a Path would write into ten times as many pages
        fields = os.read(file, 4096).rpartition(b")")[2].split()
        os.close(file)
        start, end = int(fields[45]), int(fields[46])
        if 0 < start < end:
            ctypes.memset(start, 0, end - start)
            ctypes.memmove(start, title.encode(), min(len(title.encode()), end - start - 1))
    LIBC.prctl(PR_SET_NAME, title.split()[0].encode())


def begin(parent: int) -> None:
    """In a new child: a signal from the terminal is the parent's, and the child ends with its parent."""
    signal.pthread_sigmask(signal.SIG_BLOCK, FROM_TERMINAL)
    if end_with_parent() and os.getppid() != parent:  # it died before
        os._exit(1)


def end_with_parent() -> bool:
    """Has the system send SIGTERM to this process when its parent dies; whether this system can."""
    return LIBC is not None and LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM) == 0
