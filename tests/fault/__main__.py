"""python -m tests.fault --minutes 30 --seed N --database sqlite|postgresql: the long form, round after round.

With --times 10 --minutes 0 --short it is the form of `make test`, ten times, each in a new world with its own seed.
"""

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
    failed = 0
    for number in range(1, arguments.times + 1):
        # The first seed is the one that was asked for; the next ones are as easily asked for again.
        seed = arguments.seed if arguments.seed and number == 1 else str(secrets.randbelow(1_000_000))
        try:
            _rounds(seed, arguments)
        except AssertionError as error:
            failed += 1
            print(f"FAILED with seed {seed} on {arguments.database}:\n{error}", flush=True)
        if arguments.times > 1:
            print(f"{number - failed} of {number} times on {arguments.database} all promises held", flush=True)
    return min(failed, 1)


def _rounds(seed: str, arguments: argparse.Namespace) -> None:
    """Rounds in one world, until the time is over; raises AssertionError where a promise is broken."""
    log, begun_at = Path(tempfile.mkdtemp()) / "log", time.monotonic()

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


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Breaks everything Leadhook stands on, and counts its leads.")
    parser.add_argument("--minutes", type=float, default=30, help="a round that began before is ended")
    parser.add_argument("--seed", help="draws what goes wrong; by default a new one, which is printed")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--short", action="store_true", help="rounds as short as those of `make test`")
    parser.add_argument("--times", type=int, default=1, help="worlds, one after the other; goes on after a failure")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
