"""What the REST API adds to the memory of a web process: each runs it in a process of its own, with and without."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import KEYS
from tests.support.tree import ROOT

pytestmark = [pytest.mark.once, pytest.mark.skipif(sys.platform != "linux", reason="the system does not say it")]

MOST = 2 * 1024  # kilobytes
TIMES = 2
# Prints the kilobytes that a process has for itself once it can answer. With the argument "without", all modules of the
# API and what only they need are empty ones.
PROGRAM = """
import importlib, importlib.abc, importlib.machinery, sys, types
from flask import Blueprint

OURS = ("webapp.web.api", "webapp.blueprints.api", "webapp.blueprints.mcp", "msgspec")

class Empty(types.ModuleType):
    __path__ = []

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        if name in ("short_leads", "problems", "document", "keys", "rates"):
            return importlib.import_module(f"{self.__name__}.{name}")
        if name == "blueprint":
            made = Blueprint(self.__name__.replace(".", "_"), "webapp")
        elif name.isupper():
            made = {}
        elif name == "applies":  # no error is a problem of the API's
            made = lambda: False
        elif name[0].isupper():
            made = type(name, (Exception,), {"__init_subclass__": classmethod(lambda cls, **more: None)})
        else:
            made = lambda *given, **more: (lambda view: view)
        setattr(self, name, made)
        return made

class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path, target=None):
        if any(name == ours or name.startswith(ours + ".") for ours in OURS):
            return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec):
        return Empty(spec.name)

    def exec_module(self, module):
        pass

if sys.argv[1] == "without":
    sys.meta_path.insert(0, Finder())
from webapp import create_app
client = create_app().test_client()
assert client.get("/login").status_code == 200
lines = open("/proc/self/smaps_rollup").read().splitlines()
status = client.get("/api/v1/openapi.json").status_code  # a document, which is made when it is asked for
assert (status == 200) == (sys.argv[1] == "with"), status
print({line.split(":")[0]: line for line in lines}["Anonymous"].split()[1])
"""


def kilobytes(way: str, home: Path) -> int:
    environ = {**KEYS, "LEADHOOK_HOME": str(home), "REDIS_URL": "redis://127.0.0.1:1/0", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", PROGRAM, way]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr[-3000:]
    return int(json.loads(done.stdout))


def test_the_api_adds_at_most_two_megabytes_to_a_process(tmp_path: Path) -> None:
    found = {way: min(kilobytes(way, tmp_path) for _ in range(TIMES)) for way in ("with", "without")}
    print(found)
    assert 0 < found["with"] - found["without"] <= MOST, found
