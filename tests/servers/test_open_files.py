"""A process that needs many sockets asks for them."""

import subprocess
import sys

import pytest

SCRIPT = "import resource; from webapp.servers import open_files; open_files.allow({}); print(*resource.getrlimit(7))"


@pytest.mark.parametrize(
    ("soft", "hard", "wanted", "gets"), [(64, 512, 256, 256), (64, 128, 256, 128), (300, 512, 256, 300)]
)
def test_the_limit_is_raised_as_far_as_it_may(soft: int, hard: int, wanted: int, gets: int) -> None:
    command = f'ulimit -Sn {soft} && ulimit -Hn {hard} && exec "$0" -c "$1"'
    script = SCRIPT.format(wanted).replace("(7)", "(resource.RLIMIT_NOFILE)")
    ran = subprocess.run(["sh", "-c", command, sys.executable, script], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == [str(gets), str(hard)]
