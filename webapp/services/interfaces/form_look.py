"""How a form looks: its stylesheet and its logo.

The form page's content security policy allows no inline style, so an interface's colour needs a stylesheet. It is one
file, so that a first view takes three requests. Its name holds everything it depends on (colour, corners, version), so
it is answered without the database and can be cached for ever.
"""

import base64
import hashlib
import re
from functools import cache, lru_cache
from pathlib import Path

from sqlalchemy import select
from werkzeug.exceptions import NotFound

from webapp import colours
from webapp.clock import utcnow
from webapp.colours import DARK, LIGHT, PART, TEXT
from webapp.db.transactions import read_autocommit
from webapp.extensions import db
from webapp.models import Corners, Interface, Logo
from webapp.models.interface import ACCENT
from webapp.services.errors import Refused
from webapp.services.interfaces import interfaces

RADIUS = {Corners.SQUARE: "0", Corners.SOFT: "8px", Corners.ROUND: "18px"}
FORM_CSS = Path(__file__).parents[2] / "static" / "form.css"
MAX_LOGO = 20 * 1024  # bytes: with it a first view stays below 30 KB
# By their first bytes: a file's name can be wrong.
PICTURES = {b"\x89PNG\r\n\x1a\n": "png", b"\xff\xd8\xff": "jpg", b"RIFF": "webp", b"<svg": "svg", b"<?xml": "svg"}
MEDIA_TYPES = {"png": "image/png", "jpg": "image/jpeg", "webp": "image/webp", "svg": "image/svg+xml"}


@cache
def _base() -> tuple[str, str]:
    """form.css and a short digest of it; reads the file once."""
    css = FORM_CSS.read_text(encoding="utf-8")
    return css, hashlib.sha256(css.encode()).hexdigest()[:8]


def stylesheet_name(interface: Interface) -> str:
    """The last part of the stylesheet's address, such as 2f54d0-soft-1a2b3c4d: colour, corners, version of form.css."""
    return f"{interface.accent.removeprefix('#')}-{interface.corners}-{_base()[1]}"


def plain_stylesheet_name() -> str:
    """The stylesheet name for pages that belong to no interface."""
    return f"{ACCENT.removeprefix('#')}-{Corners.SOFT}-{_base()[1]}"


@lru_cache(maxsize=512)
def stylesheet(name: str) -> str:
    """The CSS for a stylesheet name; NotFound for a malformed name. An older version gets the current CSS."""
    accent, _, rest = name.partition("-")
    corners, _, version = rest.partition("-")
    if not colours.is_colour(f"#{accent}") or corners not in RADIUS or not re.fullmatch("[0-9A-Za-z]{1,8}", version):
        raise NotFound
    light, dark = (_variables(f"#{accent}", ground) for ground in (LIGHT, DARK))
    radius = f"--lf-radius: {RADIUS[Corners(corners)]};"
    return f"""{_base()[0]}
:root, .lead-form {{ {light} {radius} }}
:root[data-theme=dark], [data-theme=dark] .lead-form {{ {dark} }}
@media (prefers-color-scheme: dark) {{ :root[data-theme=auto], [data-theme=auto] .lead-form {{ {dark} }} }}
"""


def _variables(accent: str, ground: str) -> str:
    """The accent as a fill, the text colour on that fill, and the accent for links and focus, with enough contrast.

    `ground` is the colour of the page behind the form.
    """
    fill, link = colours.readable(accent, ground, PART), colours.readable(accent, ground, TEXT)
    return f"--lf-accent: {fill}; --lf-on-accent: {colours.on(fill)}; --lf-focus: {link};"


def set_logo(interface: Interface, body: bytes) -> None:
    """Replaces the logo; Refused if the file is not a picture or is too large."""
    if len(body) > MAX_LOGO:
        sizes = f"This file has {len(body) // 1024 + 1} KB; a logo can have at most {MAX_LOGO // 1024} KB."
        raise Refused(f"{sizes} Make it smaller, or save it as SVG or WebP.", "logo")
    kind = next((kind for start, kind in PICTURES.items() if body.lstrip().startswith(start)), None)
    if kind is None or (kind == "webp" and body[8:12] != b"WEBP"):
        raise Refused("This file is not a picture that a form can show. Choose a PNG, JPEG, WebP or SVG file.", "logo")
    _drop_logo(interface)
    db.session.flush()
    db.session.add(Logo(interface_id=interface.id, body=body))
    interface.updated_at = utcnow()
    interface.logo = f"{hashlib.sha256(body).hexdigest()[:16]}.{kind}"
    interfaces.record("changed", interface, "Logo")


def remove_logo(interface: Interface) -> None:
    if interface.logo:
        interfaces.record("changed", interface, "Logo removed")
    _drop_logo(interface)


def _drop_logo(interface: Interface) -> None:
    found = db.session.get(Logo, interface.id)
    if found:
        db.session.delete(found)
    interface.logo, interface.updated_at = None, utcnow()


def logo(public_id: str, name: str) -> tuple[bytes, str]:
    """The interface's logo with that file name, and its media type; NotFound if the logo has been replaced."""
    live = (Interface.public_id == public_id, Interface.logo == name, Interface.archived_at.is_(None))
    with read_autocommit() as connection:  # a refused post shows the logo too, and must not wait for writers
        body = connection.scalar(select(Logo.body).join(Interface).where(*live))
    if body is None:
        raise NotFound
    return body, MEDIA_TYPES[name.rpartition(".")[2]]


@lru_cache(maxsize=64)
def embedded_logo(public_id: str, name: str) -> str:
    """The logo as a data: URL. A frame also loads a script, and would need a fourth request for the logo.

    The file name is a digest of the content, so a cached entry is never stale.
    """
    body, media_type = logo(public_id, name)
    return f"data:{media_type};base64,{base64.b64encode(body).decode()}"
