"""The Flask extensions, created here and bound to an app in `create_app`."""

from pathlib import Path
from typing import Any

import click
from flask import Flask, Response, current_app, request
from flask_limiter import Limiter
from flask_login import LoginManager
from flask_mail import Mail
from flask_sqlalchemy import SQLAlchemy
from flask_wtf.csrf import CSRFProtect
from werkzeug.local import LocalProxy

from webapp.models.base import Base

REST = 2.0  # seconds without asking Redis after it failed


class Login(LoginManager):  # type: ignore[misc]  # Flask-Login has no types
    """Flask-Login, but it deletes the "stay signed in" cookie over HTTPS, too.

    Browsers ignore a Set-Cookie for a name that begins with `__Host-` unless it is `Secure`, and Flask-Login does not
    say so when it deletes the cookie.
    """

    def _clear_cookie(self, response: Response) -> None:
        config = current_app.config
        response.delete_cookie(
            config["REMEMBER_COOKIE_NAME"],
            secure=config["REMEMBER_COOKIE_SECURE"],
            httponly=config["REMEMBER_COOKIE_HTTPONLY"],
            samesite=config["REMEMBER_COOKIE_SAMESITE"],
        )


class _OfApp:
    """An attribute whose value is kept with the current app, where the library keeps one for all apps."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = f"leadhook_limiter{name}"

    def __get__(self, limiter: object, owner: type) -> Any:
        return current_app.extensions.get(self.name)

    def __set__(self, limiter: object, value: object) -> None:
        if current_app:  # the constructor sets its own defaults, for no app
            current_app.extensions[self.name] = value


class AppLimiter(Limiter):
    """Flask-Limiter with the storage of each app kept apart: its `init_app` would move all apps to the last one's."""

    _storage = _OfApp()
    _limiter = _OfApp()
    _storage_dead = _OfApp()
    _fallback_storage = _OfApp()
    _fallback_limiter = _OfApp()

    def init_app(self, app: Flask) -> None:
        self._storage_options = {}  # the library adds each app's to those of the apps before
        with app.app_context():
            super().init_app(app)


class _Commands(click.Group):
    """Stands for `flask db` until it is used."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        from flask_migrate.cli import db as commands

        made: click.Context = commands.make_context(*args, **kwargs)
        return made


class Migrations:
    """Flask-Migrate, imported when something first asks for it: with Alembic it is an eighth of what a process imports,
    and web and workers never need it."""

    directory = Path(__file__).parent / "migrations"

    def init_app(self, app: Flask) -> None:
        app.extensions["migrate"] = LocalProxy(lambda: self._imported(app))
        app.cli.add_command(_Commands("db", help="Perform database migrations."))

    def _imported(self, app: Flask) -> Any:
        from flask_migrate import Migrate

        Migrate(app, db, directory=str(self.directory), render_as_batch=True)  # takes the place of the proxy
        return app.extensions["migrate"]


def _client_address() -> str:
    return request.remote_addr or "unknown"


# The models are made on a plain DeclarativeBase, which mypy understands; Flask-SQLAlchemy is given its metadata.
db = SQLAlchemy(metadata=Base.metadata)
migrate = Migrations()
csrf = CSRFProtect()
login = Login()
mail = Mail()
# Without rate limit headers, which would cost a second query to Redis per answer: web/error_pages.py adds Retry-After.
limiter: Any = AppLimiter(key_func=_client_address)
