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
import redis.client
import redis.utils
from argon2 import PasswordHasher
from flask import Blueprint, Flask
from flask.sansio.blueprints import BlueprintSetupState
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
CALLBACKS = redis.client.CaseInsensitiveDict
REGISTER: Callable[..., None] = Blueprint.register
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

    def add_again(self, rules: list[Rule]) -> None:
        """Rules of another app's map, which nothing changes."""
        self._added += rules
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
    if kept := getattr(rule, "of_rule", None):
        return kept  # type: ignore[no-any-return]
    how = rule.defaults, rule.subdomain, rule.host, rule.strict_slashes, rule.merge_slashes, rule.redirect_to
    which = rule.build_only, rule.alias, rule.websocket, getattr(rule, _OF_FLASK, None)
    rule.of_rule = found = rule.rule, rule.endpoint, frozenset(rule.methods or ()), repr(how), which  # type: ignore[attr-defined]
    return found


def share_routes(patch: pytest.MonkeyPatch) -> None:
    """Compiling routes took half of an app's time, and registering them a third of what was left."""
    patch.setattr(Flask, "url_map_class", SharedMap)
    patch.setattr(Blueprint, "register", _register)


class _Routes:
    """Routes that follow each other in a blueprint. The first app has them registered, the others take its rules."""

    def __init__(self) -> None:
        self.deferred: list[Callable[[BlueprintSetupState], object]] = []
        self._made: dict[Any, tuple[list[Rule], dict[str, Any]]] = {}

    def __call__(self, state: BlueprintSetupState) -> None:
        url_map, views = state.app.url_map, state.app.view_functions
        assert isinstance(url_map, SharedMap)
        key = state.url_prefix, state.subdomain, state.name_prefix, state.name, repr(state.url_defaults)
        if made := self._made.get(key):
            url_map.add_again(made[0])
            views.update(made[1])
            return
        before = len(url_map._added)
        for deferred in self.deferred:
            deferred(state)
        rules = url_map._added[before:]
        self._made[key] = rules, {rule.endpoint: views[rule.endpoint] for rule in rules if rule.endpoint in views}


_grouped: dict[int, tuple[Blueprint, int, list[Any]]] = {}  # by the identity of a blueprint, which stays
_one_at_a_time = threading.RLock()  # a test may make apps in several threads; blueprints may have blueprints


def _register(blueprint: Blueprint, app: Flask, options: dict[str, Any]) -> None:
    with _one_at_a_time:
        deferred = blueprint.deferred_functions
        kept = _grouped.get(id(blueprint))
        if not kept or kept[1] != len(deferred):
            kept = _grouped[id(blueprint)] = blueprint, len(deferred), _group(deferred)
        blueprint.deferred_functions = kept[2]
        try:
            REGISTER(blueprint, app, options)
        finally:
            blueprint.deferred_functions = deferred


def _group(deferred: list[Callable[[BlueprintSetupState], object]]) -> list[Any]:
    groups: list[Any] = []
    for each in deferred:
        if each.__qualname__.startswith("Blueprint.add_url_rule."):
            if not groups or not isinstance(groups[-1], _Routes):
                groups.append(_Routes())
            groups[-1].deferred.append(each)
        else:
            groups.append(each)
    return groups


def read_version_once(patch: pytest.MonkeyPatch) -> None:
    """redis-py reads its own version from the disk for each connection that it makes."""
    patch.setattr(redis.utils, "get_lib_version", cache(redis.utils.get_lib_version))


class _Callbacks(redis.client.CaseInsensitiveDict):
    """How answers are read, by command. redis-py writes the hundreds of names in capitals again for each client."""

    _made: ClassVar[dict[int, tuple[object, Any]]] = {}  # by the identity of what was given, which stays

    def __init__(self, data: dict[str, Any]) -> None:
        self.update(data)

    def update(self, data: dict[str, Any]) -> None:  # type: ignore[override]
        kept = self._made.get(id(data))
        if not kept or len(kept[1]) != len(data):
            kept = self._made[id(data)] = data, CALLBACKS(data)
        dict.update(self, kept[1])


def read_callbacks_once(patch: pytest.MonkeyPatch) -> None:
    """An app has ten clients of Redis."""
    patch.setattr(redis.client, "CaseInsensitiveDict", _Callbacks)


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


def _is_known(connection: object) -> None:
    """The first engine's dialect has asked this server what it can do: on PostgreSQL with eight statements."""


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
            elif engine is not _first[kind]:
                engine.dialect.initialize = _is_known  # type: ignore[method-assign]
            engine.dialect, engine._compiled_cache = _first[kind].dialect, _first[kind]._compiled_cache
