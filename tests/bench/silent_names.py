"""worker.py, on a machine whose resolver does not answer for some names: those that end in .silent.invalid.

The look-up of such a name hangs for half a minute, as glibc's does when no name server answers, and then fails. All
other names are looked up as ever. The C library's resolver is configured by files that only root may change, so it is
replaced one level above: socket.getaddrinfo, before anything of Leadhook is imported, in the supervisor that all worker
processes are forked from. Nothing else is different.
"""

import socket
import sys
import time
from pathlib import Path
from typing import Any

SILENCE = 30.0  # seconds: three name servers, two tries, five seconds each
_getaddrinfo = socket.getaddrinfo


def getaddrinfo(host: Any, *arguments: Any, **options: Any) -> Any:
    if str(host).endswith(".silent.invalid"):
        time.sleep(SILENCE)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    return _getaddrinfo(host, *arguments, **options)


if __name__ == "__main__":
    socket.getaddrinfo = getaddrinfo
    sys.path.insert(0, str(Path(__file__).parents[2]))
    import worker

    raise SystemExit(worker.main())
