"""What is the same for every app that a test makes, made once: the tests make thousands.

Of a test's time half went into compiling routes and templates, a quarter into compiling statements, and a tenth into
hashing passwords as slowly as the product must. Nothing here changes what an app does.
"""

from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher
from flask import Flask
from jinja2 import FileSystemBytecodeCache
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError
from werkzeug.routing import Rule

from webapp.extensions import db
from webapp.services.people import users

HASHER, NOBODY = users.HASHER, users._NOBODY  # the product's own, for tests that are about it
QUICK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


def hash_quickly(patch: pytest.MonkeyPatch) -> None:
    """Passwords are hashed by the same algorithm in a fraction of a millisecond."""
    patch.setattr(users, "HASHER", QUICK)
    patch.setattr(users, "_NOBODY", QUICK.hash("nobody's"))


def compile_rules_once(patch: pytest.MonkeyPatch) -> None:
    """A rule's address is built by code that werkzeug compiles for each app anew; it depends on the rule alone."""
    compiled = Rule._compile_builder

    made: dict[Any, Any] = {}

    def builder(self: Rule, append_unknown: bool = True) -> Any:
        key = self.rule, self.host, self.subdomain, repr(self.defaults), append_unknown
        if key not in made:
            made[key] = compiled(self, append_unknown)
        return made[key]

    patch.setattr(Rule, "_compile_builder", builder)


def compile_templates_once(app: Flask, directory: Path) -> None:
    """Templates are compiled by the first test that needs them, for all processes of a run."""
    app.jinja_env.bytecode_cache = FileSystemBytecodeCache(str(directory))


_first: dict[tuple[str, str | None], Engine] = {}


def compile_statements_once(app: Flask) -> None:
    """An engine keeps the statements that were compiled for its dialect: engines of a kind share those of the first."""
    with app.app_context():
        for name, engine in db.engines.items():
            kind = engine.dialect.name, name
            if kind not in _first:
                try:
                    engine.connect().close()  # after which a dialect knows its server
                except OperationalError:  # a test of what happens then
                    continue
                engine.dispose()
                _first[kind] = engine
            engine.dialect, engine._compiled_cache = _first[kind].dialect, _first[kind]._compiled_cache
