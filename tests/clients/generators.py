"""The generators of clients, pinned in requirements.txt and package-lock.json: each makes, type-checks and builds one.

The packages are below var/receivers/, installed again when a lock file changes. What is made goes into a folder of the
test's. A generator that says anything like a warning fails the test.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from tests.receivers.installing import FOLDER, apt, node, run

HERE = Path(__file__).parent
DRIVERS = HERE / "drivers"


# Openapi-python-client writes these two methods of every client so; they say nothing of the document.
MISTYPED = r'"__a?exit__" of "(Async)?Client" has incompatible type "\*tuple\[object, \.\.\.\]"'
# What openapi-generator says of every document of OpenAPI 3.1, and of values that may be anything.
HARMLESS = r"OpenAPI 3\.1 support is still in beta|schema name: null|Default to typing\.Any"


class Generator(NamedTuple):
    """`made(document, folder)`: the command that drives the client, which takes the two addresses."""

    name: str
    made: Callable[[Path, Path], list[str]]


@cache
def python() -> Path:
    """The folder of the programs of a virtual environment with requirements.txt."""
    home, lock = FOLDER / "clients-python", HERE / "requirements.txt"
    if not is_installed(home, lock):
        run([sys.executable, "-m", "venv", str(home)])
        run([str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", "--require-hashes", "-r", str(lock)])
        shutil.copy(lock, home)
    return home / "bin"


@cache
def modules() -> Path:
    """The folder node_modules with package-lock.json."""
    home, lock = FOLDER / "clients-node", HERE / "package-lock.json"
    if not is_installed(home, lock):
        home.mkdir(parents=True)
        shutil.copy(HERE / "package.json", home)
        shutil.copy(lock, home / "npm-shrinkwrap.json")
        run(["npm", "ci", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"], home)
        shutil.copy(lock, home)
    return home / "node_modules"


def is_installed(home: Path, lock: Path) -> bool:
    """Whether what the lock says is there. If not, nothing is."""
    stamp = home / lock.name
    if stamp.exists() and stamp.read_bytes() == lock.read_bytes():
        return True
    print(f"Installing {lock.name} of the generators of clients", flush=True)
    shutil.rmtree(home, ignore_errors=True)
    return False


def generate(command: Sequence[str], folder: Path, harmless: str = "(?!)") -> None:
    """Runs a generator. It must say nothing that is a warning, but for lines with what is `harmless`."""
    path = f"{python()}:{os.environ['PATH']}"  # openapi-python-client runs ruff
    environ = {**os.environ, "PATH": path, "NO_COLOR": "1"}
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
    said = f"{done.stdout}\n{done.stderr}"
    assert done.returncode == 0, said[-3000:]
    complaints = [line for line in said.splitlines() if re.search(r"(?i)warn|error|⚠|unsupported|not supported", line)]
    assert [line for line in complaints if not re.search(harmless, line)] == []


def openapi_python_client(document: Path, folder: Path) -> list[str]:
    program = [str(python() / "openapi-python-client"), "generate", "--fail-on-warning", "--meta", "none"]
    generate([*program, "--path", str(document), "--output-path", "leadhook_client"], folder)
    return python_driver(folder, "openapi_python_client.py")


def openapi_generator_python(document: Path, folder: Path) -> list[str]:
    openapi_generator("python", "client", "packageName=leadhook_client", document, folder)
    (folder / "leadhook_client").symlink_to(folder / "client" / "leadhook_client")
    return python_driver(folder, "openapi_generator.py")


def python_driver(folder: Path, driver: str) -> list[str]:
    shutil.copy(DRIVERS / driver, folder / "driver.py")
    mypy = [str(python() / "mypy"), "--python-version", "3.11"]
    run([*mypy, "--strict", "--follow-imports=silent", "driver.py"], folder)
    checked = subprocess.run([*mypy, "leadhook_client"], cwd=folder, capture_output=True, text=True, check=False)
    wrong = [line for line in checked.stdout.splitlines() if ": error: " in line and not re.search(MISTYPED, line)]
    assert wrong == [], checked.stderr
    return [str(python() / "python"), "driver.py"]


def openapi_typescript(document: Path, folder: Path) -> list[str]:
    program = ["node", str(modules() / ".bin" / "openapi-typescript"), "--default-non-nullable", "false"]
    generate([*program, str(document), "--output", "client.ts"], folder)
    return node_driver(folder, "openapi_typescript.ts")


def orval(document: Path, folder: Path) -> list[str]:
    output = {"target": "client.ts", "client": "fetch", "baseUrl": {"getBaseUrlFromSpecification": True}}
    (folder / "orval.config.json").write_text(json.dumps({"leadhook": {"input": str(document), "output": output}}))
    generate([node(at_least=22), str(modules() / ".bin" / "orval"), "--config", "orval.config.json"], folder)
    return node_driver(folder, "orval.ts")


def openapi_generator_typescript(document: Path, folder: Path) -> list[str]:
    openapi_generator("typescript-fetch", "client", "importFileExtension=.js", document, folder)
    return node_driver(folder, "openapi_generator.ts")


def node_driver(folder: Path, driver: str) -> list[str]:
    shutil.copy(DRIVERS / driver, folder / "driver.ts")
    (folder / "node_modules").symlink_to(modules())
    (folder / "package.json").write_text('{"private": true, "type": "module"}')
    options = ["--strict", "--target", "es2022", "--module", "nodenext", "--types", "node", "--outDir", "."]
    run(["node", str(modules() / "typescript" / "bin" / "tsc"), *options, "driver.ts"], folder)
    return [node(at_least=20), "driver.js"]


def openapi_generator(target: str, output: str, properties: str, document: Path, folder: Path) -> None:
    apt(java="default-jre-headless")
    command = [str(python() / "openapi-generator-cli"), "generate", "-i", str(document), "-g", target, "-o", output]
    generate([*command, f"--additional-properties={properties}"], folder, HARMLESS)


GENERATORS = (
    Generator("openapi-python-client", openapi_python_client),
    Generator("openapi-typescript", openapi_typescript),
    Generator("orval", orval),
    Generator("openapi-generator, python", openapi_generator_python),
    Generator("openapi-generator, typescript-fetch", openapi_generator_typescript),
)
