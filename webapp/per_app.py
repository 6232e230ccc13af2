"""Objects that belong to one app: two apps in one process share none of them."""

from functools import partial
from operator import getitem
from typing import Any

from flask import current_app
from werkzeug.local import LocalProxy

_extensions = LocalProxy(partial(getattr, current_app, "extensions"))


def per_app(name: str) -> Any:
    """A proxy for the current app's object of this name, like `flask.current_app`; annotate it with the object's type.

    `create_app` puts the object into `app.extensions["leadhook_<name>"]`. RuntimeError outside an app context. Made of
    C functions only: it is used several times per lead.
    """
    return LocalProxy(partial(getitem, _extensions, f"leadhook_{name}"))
