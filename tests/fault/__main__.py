"""python -m tests.fault --minutes 30 --seed N --database sqlite|postgresql: the long form, round after round."""

import argparse
import secrets
import signal
import tempfile
import time
from pathlib import Path

from tests.fault.run import LONG, SHORT, Run
from tests.fault.world import running_world


def main() -> int:
    """0 if every promise held in every round."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends what it started
    seed, log = arguments.seed or str(secrets.randbelow(1_000_000)), Path(tempfile.mkdtemp()) / "log"
    begun_at = time.monotonic()

    def say(what: str) -> None:
        print(f"{time.monotonic() - begun_at:7.1f} s  {what}", flush=True)

    print(f"seed {seed} on {arguments.database}; what the processes say is in {log}", flush=True)
    number = 0
    with running_world(arguments.database, seed, log) as world:
        run = Run(world, arguments.database, say)
        while number == 0 or time.monotonic() < begun_at + arguments.minutes * 60:
            number += 1
            # The first round of a seed is that of `make test`, which a failure there may be looked into with.
            run.round(seed if number == 1 else f"{seed}.{number}", SHORT if arguments.short else LONG)
            say(f"round {number} held")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Breaks everything Leadhook stands on, and counts its leads.")
    parser.add_argument("--minutes", type=float, default=30, help="a round that began before is ended")
    parser.add_argument("--seed", help="draws what goes wrong; by default a new one, which is printed")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--short", action="store_true", help="rounds as short as those of `make test`")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
