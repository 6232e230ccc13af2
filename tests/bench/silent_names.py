"""worker.py, on a machine whose resolver does not answer for some names: those that end in .silent.invalid.

The look-up of such a name hangs for half a minute, as glibc's does when no name server answers, and then fails. All
other names are looked up as ever. Resolvers are configured by files that only root may change, so both that a version
of Leadhook may use, its own and socket.getaddrinfo, are replaced in the supervisor that all worker processes are forked
from. Nothing else is different.
"""

import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

SILENCE = 30.0  # seconds: three name servers, two tries, five seconds each
_getaddrinfo = socket.getaddrinfo


def getaddrinfo(host: Any, *arguments: Any, **options: Any) -> Any:
    if str(host).endswith(".silent.invalid"):
        time.sleep(SILENCE)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    return _getaddrinfo(host, *arguments, **options)


def replace_our_own() -> None:
    """Earlier versions have none."""
    with suppress(ImportError):
        from webapp.webhooks.names import Names

        ours = Names.__call__
        Names.__call__ = lambda self, host, *arguments, **options: (  # type: ignore[method-assign]
            getaddrinfo(host) if str(host).endswith(".silent.invalid") else ours(self, host, *arguments, **options)
        )


if __name__ == "__main__":
    socket.getaddrinfo = getaddrinfo
    sys.path.insert(0, str(Path(__file__).parents[2]))
    replace_our_own()
    import worker

    raise SystemExit(worker.main())
