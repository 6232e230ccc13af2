"""The short way of the public form: it answers everyday requests for /f/<id> without Flask's machinery. Other posts may
take it, too: api/short_leads.py.

It decides nothing itself. What becomes of a post is decided by the same service as for Flask's view (lead_form.py). How
an answer looks is Flask's: the first answer of each kind comes from there, and is kept with the version of the form.
Later ones differ from it by the token and what is tracked, or by the id of the lead.

All other requests go on to Flask: another method or content type, files, a text that may not be in UTF-8, an
Idempotency-Key, a post that is not accepted. Flask's view gets what was found out here (`outcome`), so that no post is
counted, judged or stored twice.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from io import BytesIO
from itertools import chain
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote_to_bytes

from flask import Flask
from werkzeug.wsgi import get_host

from webapp import ids
from webapp.blueprints import form_pages, json_posts
from webapp.config import current_config
from webapp.db.transactions import read_only
from webapp.servers.together import TOGETHER, Elsewhere
from webapp.services.intake import published_forms, submissions, visitor
from webapp.services.intake.encodings import CHARSET, MAYBE_NOT_UTF_8
from webapp.services.intake.published_forms import PublishedForm
from webapp.services.intake.submissions import Captured, Post
from webapp.services.signs.counters import result_of
from webapp.web import limits
from webapp.web.security import MAX_FIELDS

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

NO_HEADERS: Mapping[str, str] = MappingProxyType({})
OUTCOME = "leadhook.outcome"  # in the WSGI environment
LONGEST = 64 * 1024  # bytes of a body; the server has read all of such a one before it calls the app
LARGE = 128 * 1024  # bytes of a page: for more, the server may have to wait until the client has read some of it
MOST_KINDS = 32  # of answers that are kept with a form

_ADDRESS = re.compile(rf"/f/([0-9A-Za-z_]{{1,{ids.LONGEST}}})")
_HOST = re.compile(r"(?:[0-9A-Za-z-]{1,63}\.){0,9}[0-9A-Za-z-]{1,63}(?::[0-9]{1,5})?")
_LENGTH = re.compile("[0-9]{1,5}")
_TYPE = re.compile(r"application/(?:x-www-form-urlencoded|(json))(?:; ?charset=utf-8)?", re.IGNORECASE)
_UNUSUAL = (
    *("HTTP_TRANSFER_ENCODING", "HTTP_CONTENT_ENCODING", "HTTP_UPGRADE", "HTTP_IDEMPOTENCY_KEY"),
    *("HTTP_WEBHOOK_ID", "HTTP_LEADHOOK_HOPS"),
)
# What the answer to an accepted post depends on, besides its form: see form_pages.wants_json and is_script.
_KIND = ("HTTP_ACCEPT", "HTTP_SEC_FETCH_MODE", "HTTP_SEC_FETCH_DEST", "HTTP_X_REQUESTED_WITH")
_HIDDEN = '<input type="hidden" name="{}" value="{}">'
_OWN = f"(?:{_HIDDEN})+".format(f"(?:{visitor.TOKEN}|{visitor.SOURCE})", '[^"]*')  # a regular expression


def outcome(environ: "WSGIEnvironment") -> Any:
    """What the short way found out about the request: of a page its form, of a post what became of it; None where it
    left the request alone. Raises what went wrong there."""
    found = environ.get(OUTCOME)
    if isinstance(found, Exception):
        raise found
    return found


class KeptAnswer(NamedTuple):
    """An answer of Flask's in parts: between them comes a text that differs each time."""

    status: str
    headers: list[tuple[str, list[str]]]
    body: list[str]

    @classmethod
    def of(cls, status: str, headers: list[tuple[str, str]], body: bytes, pattern: str) -> "KeptAnswer":
        """`pattern`: a regular expression for the text that differs."""
        cut = re.compile(pattern).split
        return cls(status, [(name, cut(value)) for name, value in headers], cut(body.decode()))

    def with_text(self, text: str, fresh: Mapping[str, str]) -> tuple[list[tuple[str, str]], bytes]:
        """Headers and body. `fresh`: headers with a value of their own, by their names."""
        body = text.join(self.body).encode()
        own = {"Content-Length": str(len(body)), **fresh}
        return [(name, own.get(name) or text.join(parts)) for name, parts in self.headers], body


class ShortAnswer(NamedTuple):
    """The answer to an everyday request."""

    form: PublishedForm
    kind: tuple[Any, ...]  # an answer of the same form and kind differs by its text only
    text: str
    pattern: str
    counts_as: str | None = None  # of a post: see counters.py
    fresh: Mapping[str, str] = NO_HEADERS  # headers that differ each time


def go_together(posts: Iterable[str]) -> tuple[re.Pattern[bytes], re.Pattern[bytes]]:
    """How posts begin, and how views of forms do, for servers/together.py. `posts`: as for ShortWay. What else is below
    /f/ begins otherwise: a style sheet must not wait for a database that a page waits for."""
    form, others = _ADDRESS.pattern, "".join(f"|{re.escape(address)} " for address in posts)
    return re.compile(f"POST (?:{form}[ ?]{others})".encode()), re.compile(f"GET {form}[ ?]".encode())


Way = Callable[["WSGIEnvironment"], ShortAnswer | None]  # finds the answer; None where Flask must


class ShortWay:
    """WSGI middleware around Flask. Must be behind all that corrects the client's address and the scheme."""

    def __init__(self, app: Flask, posts: Mapping[str, Way]) -> None:
        """`posts`: what finds the answer to a post to an address that is no form's, by the address."""
        self._app, self._flask, self._posts = app, app.wsgi_app, posts

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        wanted = self._find(environ)
        kept = wanted and wanted.form.answers.get(wanted.kind)
        if not wanted or not kept:
            flask: WSGIApplication = partial(self._first, wanted) if wanted else self._flask
            if TOGETHER in environ:
                raise Elsewhere(flask)
            return flask(environ, start_response)
        if wanted.counts_as:
            self._app.extensions["leadhook_post_counters"].add(wanted.counts_as)
        headers, body = kept.with_text(wanted.text, wanted.fresh)
        answer = partial(_answer, kept.status, headers, body)
        if TOGETHER in environ and len(body) > LARGE:
            raise Elsewhere(answer)
        return answer(environ, start_response)

    def _find(self, environ: "WSGIEnvironment") -> ShortAnswer | None:
        """None where Flask must answer."""
        find = self._way(environ)
        if not find or environ.get("SCRIPT_NAME") or any(name in environ for name in _UNUSUAL):
            return None
        if not _HOST.fullmatch(environ.get("HTTP_HOST", "")):
            return None
        with self._app.app_context(), read_only():
            try:
                return find(environ)
            except Exception as error:  # noqa: BLE001 - Flask's view raises it
                environ[OUTCOME] = error
                return None

    def _way(self, environ: "WSGIEnvironment") -> Way | None:
        address = _ADDRESS.fullmatch(environ["PATH_INFO"])
        if not address:
            is_plain = environ["REQUEST_METHOD"] == "POST" and not environ.get("QUERY_STRING")
            return self._posts.get(environ["PATH_INFO"]) if is_plain else None
        find = {"GET": _page, "POST": _thanks}.get(environ["REQUEST_METHOD"])
        query = _lists(environ["QUERY_STRING"]) if environ.get("QUERY_STRING") else {}
        return None if not find or query is None else partial(find, public_id=address[1], query=_last(query))

    def _first(
        self, wanted: ShortAnswer, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Flask's answer, which is kept for the next ones."""
        begun: list[Any] = []
        answer = self._flask(environ, lambda *given: begun.extend(given))  # type: ignore[arg-type]
        try:
            body = b"".join(answer)
        finally:
            if hasattr(answer, "close"):
                answer.close()
        status, headers = begun[:2]
        if status.startswith(("200", "201", "303")) and not any(name == "Set-Cookie" for name, _ in headers):
            answers = wanted.form.answers
            if len(answers) >= MOST_KINDS:
                answers.clear()
            answers[wanted.kind] = KeptAnswer.of(status, headers, body, wanted.pattern)
        start_response(*begun)
        return [body]


def _answer(
    status: str, headers: list[tuple[str, str]], body: bytes, _: "WSGIEnvironment", start_response: "StartResponse"
) -> Iterable[bytes]:
    """A WSGI app that gives an answer which is made already."""
    start_response(status, headers)
    return [body]


def _page(environ: "WSGIEnvironment", public_id: str, query: Mapping[str, str]) -> ShortAnswer | None:
    if environ.get("CONTENT_TYPE") or environ.get("CONTENT_LENGTH", "0") not in ("", "0"):
        return None
    environ[OUTCOME] = form = published_forms.get(public_id)
    interface = form.interface
    fills_fields = query and any(field.key in query for field in interface.fields)
    if interface.closed_at or interface.allowed_sites or fills_fields:
        return None
    framed = form_pages.is_frame(environ.get("HTTP_SEC_FETCH_DEST"), query)
    tracked = visitor.tracked({}, query, *visitor.where_from(environ.get("HTTP_REFERER"), framed))
    own = form_pages.own_values(public_id, tracked, framed)
    text = "".join(_HIDDEN.format(name, value) for name, value in own.items())
    return ShortAnswer(form, ("page", framed), text, _OWN)


def _thanks(environ: "WSGIEnvironment", public_id: str, query: Mapping[str, str]) -> ShortAnswer | None:
    """Stores the lead of a post."""
    post = _read(environ, query)
    if post is None or limits.seconds_to_wait(public_id, environ):
        return None
    environ[OUTCOME] = result = submissions.submit(public_id, post)
    if not isinstance(result, Captured):
        return None
    form, interface = result.form, result.form.interface
    if interface.allowed_sites or (result.spam == visitor.BLOCKED and interface.blocklist_published):
        return None
    kind = form_pages.FRAME in query, not post.repeated, post.origin is None, *map(environ.get, _KIND)
    return ShortAnswer(form, kind, result.lead_id, result.lead_id, result_of(303, result.spam is not None))


def _read(environ: "WSGIEnvironment", query: Mapping[str, str]) -> Post | None:
    """The post; None for one that is not everyday: then its body can be read again."""
    media_type = _TYPE.fullmatch(environ.get("CONTENT_TYPE", ""))
    body = body_of(environ) if media_type else None
    if not media_type or body is None:
        return None
    lists = {} if media_type[1] else _form(body)
    values = _json(body) if media_type[1] else lists and _last(lists)
    if values is None or lists is None:
        return None
    page, referrer = visitor.where_from(environ.get("HTTP_REFERER"), True)
    return Post(
        values=values,
        repeated=lists,
        query=query,
        page=page,
        referrer=referrer,
        origin=environ.get("HTTP_ORIGIN"),
        own_origins=(current_config.public_url, f"{environ['wsgi.url_scheme']}://{get_host(environ)}"),
        ip=environ.get("REMOTE_ADDR"),
        user_agent=environ.get("HTTP_USER_AGENT", ""),
    )


def body_of(environ: "WSGIEnvironment") -> bytes | None:
    """The body, which can be read again; None for one that is not everyday."""
    length = environ.get("CONTENT_LENGTH", "")
    if not _LENGTH.fullmatch(length) or int(length) > LONGEST:
        return None
    try:
        body: bytes = environ["wsgi.input"].read(int(length))
    except OSError:  # the client has left; Flask will find the same
        return None
    environ["wsgi.input"] = BytesIO(body)
    return body if len(body) == int(length) else None


def _json(body: bytes) -> dict[str, Any] | None:
    try:
        sent = json_posts.parsed(body)
    except (ValueError, RecursionError):
        return None
    return sent if isinstance(sent, dict) and len(sent) <= MAX_FIELDS else None


def _form(body: bytes) -> dict[str, list[str]] | None:
    return _lists(body.decode("latin-1")) if body.count(b"&") < MAX_FIELDS else None


def _lists(text: str) -> dict[str, list[str]] | None:
    """All values of each name, in percent-encoded text; None for none, and for what may not be UTF-8."""
    pairs = _pairs(text) if text.isascii() else []
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    is_utf_8 = CHARSET not in found and not MAYBE_NOT_UTF_8.search("".join(chain.from_iterable(pairs)))
    return found if found and is_utf_8 else None


def _pairs(text: str) -> list[tuple[str, str]]:
    """Names and values as parse_qsl finds them in ASCII, blank ones too, in a third of its time: most names and many
    values have nothing to decode."""
    parts = [part.partition("=") for part in text.replace("+", " ").split("&") if part]
    return [(_decoded(name), _decoded(value)) for name, _, value in parts]


def _decoded(text: str) -> str:
    return unquote_to_bytes(text).decode(errors="werkzeug.url_quote") if "%" in text else text


def _last(lists: Mapping[str, list[str]]) -> dict[str, str]:
    return {name: values[-1] for name, values in lists.items()}
