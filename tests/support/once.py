"""Work whose result is the same for every app, done once. The tests create thousands of apps.

Half of a test's time was spent on compiling routes and templates, a quarter on compiling statements, and a tenth on
hashing passwords as slowly as the product must. Of what was left, a quarter was the garbage collector, and a tenth was
waiting for the disk. Nothing here changes what an app does.
"""

import gc
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import redis.utils
from argon2 import PasswordHasher
from flask import Flask
from jinja2.bccache import Bucket, FileSystemBytecodeCache
from limits.storage import memory
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError
from werkzeug.routing import Map, Rule, RuleFactory

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


_OF_FLASK = "provide_automatic_options"  # what Flask adds to each rule that it makes


class SharedMap(Map):
    """The routes of an app. It takes over what the first app with the same routes made of them; a test may add more."""

    _made: ClassVar[dict[Any, Map]] = {}

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._added: list[Rule] = []
        self._options = options

    def add(self, rulefactory: RuleFactory) -> None:
        for rule in rulefactory.get_rules(self):
            if not hasattr(rule, _OF_FLASK):  # a test's own, which may look into it
                rule.bind(self)
            self._added.append(rule)
        self._remap = True

    def update(self) -> None:
        with self._remap_lock:
            if self._remap:
                key = repr(self._options), *map(_of_rule, self._added)
                made = self._made.get(key) or self._made.setdefault(key, self._make())
                self._matcher, self._rules_by_endpoint = made._matcher, made._rules_by_endpoint
                self._remap = False

    def _make(self) -> Map:
        made = Map(**self._options)
        for rule in self._added:
            of_map = rule.empty()
            setattr(of_map, _OF_FLASK, getattr(rule, _OF_FLASK, None))
            made.add(of_map)
        made.update()
        return made


def _of_rule(rule: Rule) -> tuple[Any, ...]:
    how = rule.defaults, rule.subdomain, rule.host, rule.strict_slashes, rule.merge_slashes, rule.redirect_to
    which = rule.build_only, rule.alias, rule.websocket, getattr(rule, _OF_FLASK, None)
    return rule.rule, rule.endpoint, frozenset(rule.methods or ()), repr(how), which


def share_routes(patch: pytest.MonkeyPatch) -> None:
    """Compiling routes took half of an app's time."""
    patch.setattr(Flask, "url_map_class", SharedMap)


def read_version_once(patch: pytest.MonkeyPatch) -> None:
    """redis-py reads its own version from the disk for each connection that it makes."""
    patch.setattr(redis.utils, "get_lib_version", cache(redis.utils.get_lib_version))


class _Timer(threading.Timer):
    """Starts no thread that would find nothing to do."""

    def start(self) -> None:
        storage = self.function.__self__  # type: ignore[attr-defined]
        if storage.events or storage.expirations:
            super().start()


def start_no_idle_timers(patch: pytest.MonkeyPatch) -> None:
    """Each store of counts in memory starts a thread that looks for old ones. An app has three, which are empty."""
    patch.setattr(memory, "threading", SimpleNamespace(Timer=_Timer, RLock=threading.RLock))


class _Compiled(FileSystemBytecodeCache):
    """Each process reads a compiled template from the disk once."""

    _read: ClassVar[dict[tuple[str, str], Any]] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        bucket.code = self._read.get((bucket.key, bucket.checksum))
        if bucket.code is None:
            super().load_bytecode(bucket)
            if bucket.code is not None:
                self._read[bucket.key, bucket.checksum] = bucket.code


def compile_templates_once(app: Flask, directory: Path) -> None:
    """The first test that needs a template compiles it, for all processes of the test run."""
    app.jinja_env.bytecode_cache = _Compiled(str(directory))


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
