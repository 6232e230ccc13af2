"""`make` says in one sentence what it lacks, and does nothing twice."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.make_run import RECIPE
from tests.support.tree import ROOT


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A directory with a space in its name that holds the install script and an empty lock."""
    clone = tmp_path / "a clone"
    shutil.copytree(ROOT / "scripts", clone / "scripts")
    (clone / "requirements.txt").write_text("")
    return clone


def install(clone: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    command = ["sh", str(clone / "scripts" / "install.sh"), "requirements.txt"]
    return subprocess.run(command, env={**os.environ, **environ}, capture_output=True, text=True, check=False)


def python_that(clone: Path, refuses: str) -> str:
    """An interpreter that fails at any `-c` program with this word in it."""
    path = clone / "python"
    path.write_text(f'#!/bin/sh\ncase "$2" in *{refuses}*) exit 1 ;; esac\nexit 0\n')
    path.chmod(0o755)
    return "./python"


def test_make_run_runs_what_the_tests_run() -> None:
    assert f"\t@exec .venv/bin/python {RECIPE}\n" in (ROOT / "Makefile").read_text()


def test_every_target_is_listed_by_make_help() -> None:
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    targets = {line.split()[1] for line in listed.splitlines() if line.startswith("make ")}
    assert {"run", "test", "check", "format", "help", "lock"} <= targets


def test_ci_runs_make_test() -> None:
    script = ROOT / ".ci" / "run"
    assert "make test" in script.read_text()
    assert os.access(script, os.X_OK)
    assert subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0


@pytest.mark.parametrize("name", ["install.sh", "test.sh", "quick.sh", "soak.sh"])
def test_scripts_are_well_formed(name: str) -> None:
    assert subprocess.run(["sh", "-n", str(ROOT / "scripts" / name)], check=False).returncode == 0


def test_an_old_python_is_refused_in_one_sentence(clone: Path) -> None:
    done = install(clone, PYTHON=python_that(clone, "version_info"))
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "Python 3.11 or newer" in done.stderr
    assert not (clone / ".venv").exists()


def test_a_python_without_venv_is_refused_in_one_sentence(clone: Path) -> None:
    done = install(clone, PYTHON=python_that(clone, "ensurepip"))
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "python3-venv" in done.stderr


def test_the_environment_is_made_once_and_again_when_the_lock_changes_or_it_moved(clone: Path) -> None:
    first = install(clone)
    assert (first.returncode, first.stderr.count("Installing")) == (0, 1), first.stderr
    assert install(clone).stderr == ""

    (clone / "requirements.txt").write_text("no-such-package==1.0 --hash=sha256:" + "0" * 64 + "\n")
    refused = install(clone, PIP_NO_INDEX="1")
    assert refused.returncode == 1
    assert "The Python packages could not be installed" in refused.stderr
    assert "Traceback" not in refused.stderr
    (clone / "requirements.txt").write_text("")
    assert "Installing" in install(clone).stderr

    moved = clone.with_name("moved")
    clone.rename(moved)
    assert "Installing" in install(moved).stderr


def test_packages_are_installed_by_the_pip_that_is_there(clone: Path) -> None:
    done = install(clone)
    assert done.returncode == 0, done.stderr
    assert not list(clone.glob(".venv/lib/*/site-packages/pip"))


def test_an_old_pip_installs_nothing_and_one_of_its_own_is_made(clone: Path) -> None:
    """pip before 22.3 does not know `--python`. This one says which interpreter ran it."""
    (clone / "old" / "pip").mkdir(parents=True)
    (clone / "old" / "pip" / "__init__.py").write_text("__version__ = '22.2.2'\n")
    says = "import sys\nassert '--python' not in sys.argv\nopen('ran', 'w').write(sys.executable)\n"
    (clone / "old" / "pip" / "__main__.py").write_text(says)
    done = install(clone, PYTHONPATH=str(clone / "old"))
    assert done.returncode == 0, done.stderr
    assert (clone / "ran").read_text() == str(clone / ".venv" / "bin" / "python")
    assert list(clone.glob(".venv/lib/*/site-packages/pip"))


RUN = """pytest tests/soak tests/model/test_rounds.py tests/blueprints/api/test_fuzzing.py
python -m tests.fault --seed 7
"""


def soak(clone: Path, *programs: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """`make soak` where only these programs exist and nobody is root; pytest and python only say that they ran."""
    stubs = clone / "stubs"
    stubs.mkdir()
    (clone / ".venv" / "bin").mkdir(parents=True)
    scripts = {stubs / name: "exit 0" for name in programs} | {stubs / "id": "echo 1000"}
    scripts |= {clone / ".venv" / "bin" / name: f'echo "{name} $*"' for name in ("pytest", "python")}
    for path, text in scripts.items():
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
    (stubs / "dirname").symlink_to(shutil.which("dirname") or "")
    command = [shutil.which("sh") or "sh", str(clone / "scripts" / "soak.sh"), "--seed", "7"]
    given = {"PATH": str(stubs), "SBIN": "", **environ}
    return subprocess.run(command, env=given, capture_output=True, text=True, check=False)


def test_make_soak_says_what_is_missing_and_runs_the_rest(clone: Path) -> None:
    done = soak(clone, "nginx", "haproxy", "pgbouncer")
    assert done.returncode == 0, done.stderr
    assert "Left out: the tests behind apache2. Install it to run them." in done.stdout
    assert "Install promtool to run them." in done.stdout
    assert "apt install apache2-bin caddy prometheus" in done.stdout
    assert "nginx" not in done.stdout
    assert done.stdout.endswith(RUN)


def test_make_soak_leaves_nothing_out_in_ci(clone: Path) -> None:
    done = soak(clone, "nginx", CI="true")
    assert done.returncode == 1
    assert "In CI no test may be left out." in done.stderr
    assert "pytest" not in done.stdout


def test_make_soak_says_nothing_where_everything_is_there(clone: Path) -> None:
    done = soak(clone, "nginx", "apache2", "haproxy", "caddy", "pgbouncer", "promtool", CI="true")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == RUN
