"""Work whose result is the same for every app, done once. The tests create thousands of apps.

Half of a test's time was spent on compiling routes and templates, a quarter on compiling statements, and a tenth on
hashing passwords as slowly as the product must. Of what was left, a quarter was the garbage collector, and a tenth was
waiting for the disk. Nothing here changes what an app does.
"""

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher
from flask import Flask
from jinja2 import FileSystemBytecodeCache
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError
from werkzeug.routing import Rule

from webapp.db import transactions
from webapp.extensions import db
from webapp.services.people import users

# The product's own, for tests that are about it.
HASHER, UNKNOWN_USER_HASH = users.HASHER, users._UNKNOWN_USER_HASH
BIND_SQLITE: Callable[..., None] = transactions._bind_sqlite
QUICK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


def hash_quickly(patch: pytest.MonkeyPatch) -> None:
    """Hashes passwords with the same algorithm in a fraction of a millisecond."""
    patch.setattr(users, "HASHER", QUICK)
    patch.setattr(users, "_UNKNOWN_USER_HASH", QUICK.hash("unknown"))


def collect_less_often() -> None:
    """An app is some ten thousand objects, and each of them counted towards looking through all modules again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def flush_nothing(patch: pytest.MonkeyPatch) -> None:
    """SQLite does not wait for the disk, as support/postgres.py does not: no test cuts the power."""
    patch.setattr(transactions, "_bind_sqlite", lambda engine, synchronous: BIND_SQLITE(engine, synchronous="OFF"))


def compile_rules_once(patch: pytest.MonkeyPatch) -> None:
    """Werkzeug compiles a rule, and the code that builds its URL, again for each app. Both depend only on the rule."""
    compile_builder = Rule._compile_builder
    cache: dict[Any, Any] = {}

    def builder(self: Rule, append_unknown: bool = True) -> Any:
        key = self.rule, self.host, self.subdomain, repr(self.defaults), append_unknown
        if key not in cache:
            cache[key] = compile_builder(self, append_unknown)
        return cache[key]

    patch.setattr(Rule, "_compile_builder", builder)
    compile_rule, compiled = Rule.compile, {}  # type: ignore[var-annotated]

    def compiled_once(self: Rule) -> None:
        key = self.rule, self.host, self.subdomain, repr(self.defaults), self.merge_slashes
        if key not in compiled:
            compile_rule(self)
            compiled[key] = self._parts, self._trace, self._converters, self.arguments
            return
        parts, trace, converters, arguments = compiled[key]
        self._parts, self._trace, self._converters = list(parts), list(trace), dict(converters)
        self.arguments = set(arguments)
        self._build = self._compile_builder(False).__get__(self, None)
        self._build_unknown = self._compile_builder(True).__get__(self, None)

    patch.setattr(Rule, "compile", compiled_once)


def compile_templates_once(app: Flask, directory: Path) -> None:
    """The first test that needs a template compiles it, for all processes of the test run."""
    app.jinja_env.bytecode_cache = FileSystemBytecodeCache(str(directory))


_first: dict[tuple[str, str | None], Engine] = {}


def compile_statements_once(app: Flask) -> None:
    """An engine caches the compiled statements of its dialect. All engines of a kind share the cache of the first."""
    with app.app_context():
        for name, engine in db.engines.items():
            kind = engine.dialect.name, name
            if kind not in _first:
                try:
                    engine.connect().close()  # so that the dialect knows its server
                except OperationalError:  # a test without a database
                    continue
                engine.dispose()
                _first[kind] = engine
            engine.dialect, engine._compiled_cache = _first[kind].dialect, _first[kind]._compiled_cache
