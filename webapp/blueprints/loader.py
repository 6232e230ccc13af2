"""The two scripts for embedding: /embed.js for the page that shows forms, and frame.js for the frames themselves.

/embed.js also has an address with a digest of its content, which browsers can cache for ever: /embed.<digest>.js.
frame.js has only an address with a digest.
"""

import hashlib
import json
import re
from functools import cache
from pathlib import Path

from flask import Blueprint, Response, url_for

from webapp.config import current_config
from webapp.web.security import cross_site, public

blueprint = Blueprint("loader", __name__)

STATIC = Path(__file__).parents[1] / "static"
PLACE_OF_ADDRESS = '"https://leadhook.invalid/"'
FOR_EVER = "public, max-age=31536000, immutable"
FOR_AN_HOUR = "public, max-age=3600"


@cache
def _script(name: str, public_url: str) -> tuple[str, str]:
    """A script's content without comments and indentation, and a short digest of it; reads the file once.

    The loader needs our address where the browser does not tell it: as a module, or in another script.
    """
    body = (STATIC / name).read_text(encoding="utf-8")
    body = body.replace(PLACE_OF_ADDRESS, json.dumps(f"{public_url}/").replace("<", "\\u003c"))
    body = re.sub(r"^\s*(//.*)?\n?", "", re.sub(r" // .*$", "", body, flags=re.M), flags=re.M)
    return body, hashlib.sha256(body.encode()).hexdigest()[:10]


@blueprint.get("/embed.js")
@public
@cross_site
def embed() -> Response:
    return _answer("embed.js", None)


@blueprint.get("/embed.<version>.js")
@public
@cross_site
def embed_version(version: str) -> Response:
    """Cached for ever if the version is the current one. An older version gets the current script, for an hour."""
    return _answer("embed.js", version)


@blueprint.get("/f/script/<version>.js")
@public
@cross_site
def frame(version: str) -> Response:
    return _answer("frame.js", version)


def embed_address() -> str:
    """The address of the loader that can be cached for ever."""
    return url_for("loader.embed_version", version=_script("embed.js", current_config.public_url)[1])


def frame_address() -> str:
    return url_for("loader.frame", version=_script("frame.js", "")[1])


def _answer(name: str, version: str | None) -> Response:
    body, known = _script(name, current_config.public_url if name == "embed.js" else "")
    response = Response(body, mimetype="text/javascript")
    response.headers["Cache-Control"] = FOR_EVER if version == known else FOR_AN_HOUR
    response.headers["Access-Control-Allow-Origin"] = "*"  # for pages that load it with an integrity attribute
    response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    return response
