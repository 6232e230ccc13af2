"""Objects that belong to one app: two apps in one process share none of them."""

from collections.abc import Callable
from threading import RLock
from typing import TypeVar, cast

from flask import Flask, current_app
from werkzeug.local import LocalProxy

T = TypeVar("T")

_making = RLock()


def per_app(name: str, make: Callable[[Flask], T]) -> T:
    """A proxy for the current app's object of this name, like `flask.current_app`.

    `make(app)` makes the object when it is first used; from then on it is kept in `app.extensions["leadhook_<name>"]`.
    RuntimeError outside an app context.
    """
    key = f"leadhook_{name}"

    def of_current_app() -> T:
        extensions = current_app.extensions
        if key not in extensions:
            with _making:
                if key not in extensions:
                    extensions[key] = make(current_app._get_current_object())  # type: ignore[attr-defined]
        return cast(T, extensions[key])

    return cast(T, LocalProxy(of_current_app))
