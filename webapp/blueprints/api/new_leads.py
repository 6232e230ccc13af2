"""Create a lead: the same services judge and capture it as a post to the form."""

from ipaddress import ip_address
from typing import Annotated, Any

import msgspec
from flask import Response, g, request
from msgspec import Meta
from werkzeug.exceptions import NotFound

from webapp.blueprints import json_posts, short_way
from webapp.config import current_config
from webapp.models import KeyAccess, Scope
from webapp.services.intake import allowed_sites, idempotency, published_forms, running_keys, submissions
from webapp.services.intake.published_forms import PublishedForm
from webapp.services.intake.submissions import Captured, Declined, DeclineReason, Post
from webapp.services.interfaces import form_texts
from webapp.services.key_access import Caller
from webapp.web.api import inputs, keys
from webapp.web.api.operations import BASE, Answered, operation
from webapp.web.api.problems import Fault, Problem, invalid, named_in_body
from webapp.web.limits import seconds_to_wait
from webapp.web.security import MAX_FIELDS
from webapp.webhooks.payload import CLICK_IDS, UTM

OTHER_SITE = "This form accepts answers only from its owner’s websites."
IDEMPOTENCY = {
    "Idempotency-Key": "Makes it safe to send the lead again: for 24 hours the same key is the same lead. 409 while "
    "a request with it runs, 410 once its lead was deleted. 1 to 255 visible ASCII characters, bare or in quotes."
}
EXPOSED = "Retry-After, RateLimit, RateLimit-Policy, Location"

Utm = Annotated[dict[str, str | None], Meta(description=f"{', '.join(UTM)}.")]
ClickIds = Annotated[dict[str, str | None], Meta(description=f"{', '.join(CLICK_IDS)}.")]


class LeadSource(msgspec.Struct, forbid_unknown_fields=True):
    """Where the visitor came from."""

    page_url: str | None = None
    page_title: str | None = None
    referrer: str | None = None
    utm: Utm = {}
    click_ids: ClickIds = {}
    ip: Annotated[str | None, Meta(description="The visitor’s address; only with a private key.")] = None
    user_agent: Annotated[str | None, Meta(description="The visitor’s browser; only with a private key.")] = None


class NewLeadRequest(msgspec.Struct, forbid_unknown_fields=True):
    interface: Annotated[str, Meta(max_length=40, description="The id of the interface.")]
    fields: Annotated[
        msgspec.Raw,
        Meta(
            description="The answers by the key of their field. Answers that no field asks for are kept as undeclared.",
            extra_json_schema={"type": "object", "additionalProperties": True},
        ),
    ]
    source: LeadSource = msgspec.field(default_factory=LeadSource)


class CreatedLead(msgspec.Struct):
    id: str
    interface: str


@operation(
    "POST",
    "/leads",
    "Create a lead",
    tag="Leads",
    scope=Scope.CAPTURE,
    body=NewLeadRequest,
    sends={
        "interface": "if_8Kx2vQ4mTzPa",
        "fields": {"name": "Ada Lovelace", "email": "ada@example.com", "phone": "+15550100", "message": "Hello"},
        "source": {"page_url": "https://example.com/contact", "utm": {"source": "newsletter"}},
    },
    answer=CreatedLead,
    status=201,
    statuses={200: "It was created before, with the same Idempotency-Key."},
    example={"id": "lead_01m83pph3v0019fd3g78e43pkn", "interface": "if_8Kx2vQ4mTzPa"},
    headers=IDEMPOTENCY,
    about="Judged like a post to the form. With a public key, which may be in a page, it must come from the form’s "
    "allowed sites.",
)
def create_lead(body: NewLeadRequest) -> Answered:
    caller = keys.caller()
    form = _form(body.interface)
    if caller.access == KeyAccess.PUBLIC and (wait := seconds_to_wait(body.interface, request.environ)):
        raise Problem(429, "Too many leads came from your network. Wait, then send it again.", headers=_after(wait))
    outcome = short_way.outcome(request.environ) or _submitted(form, _post(body, caller))
    if isinstance(outcome, Declined):
        raise _declined(outcome)
    g.is_spam = outcome.spam is not None  # for the counters of posts
    return _created(outcome, form)


def _submitted(form: PublishedForm, post: Post) -> Captured | Declined:
    try:
        with running_keys.running(form.interface.id, post.key):
            return submissions.submit(form.interface.public_id, post)
    except running_keys.KeyRuns:
        faults = [Fault(running_keys.RUNNING, header="Idempotency-Key")]
        raise Problem(409, running_keys.RUNNING, faults, headers=_after(running_keys.WAIT)) from None


def _form(public_id: str) -> PublishedForm:
    """The account's form; 404 for any other."""
    with named_in_body("interface"):
        keys.check_reach(public_id)
        form = published_forms.cached(public_id) or published_forms.get(public_id)
        if form.interface.account_id != keys.account_id():
            raise NotFound
    g.allowed_sites = form.interface.allowed_sites
    return form


def _post(body: NewLeadRequest, caller: Caller) -> Post:
    post = post_of(body, f"{request.scheme}://{request.host}")._replace(key=_key())
    if caller.access == KeyAccess.PRIVATE:
        return post
    _refuse_private(body.source)
    post = post._replace(page=request.referrer, origin=request.headers.get("Origin"))
    return post._replace(ip=request.remote_addr, user_agent=request.user_agent.string)


def post_of(body: NewLeadRequest, origin: str) -> Post:
    """The post of a program with a private key. `origin`: the address at which it called us."""
    fields = inputs.object_of(body.fields, json_posts.parsed, "fields")
    if len(fields) > MAX_FIELDS:
        raise Problem(413, f"A lead has at most {MAX_FIELDS} fields.")
    return Post(
        values=fields,
        repeated={},
        query=_tracked(body.source),
        page=None,
        referrer=None,
        origin=None,
        own_origins=(current_config.public_url, origin),
        ip=_address(body.source.ip),
        user_agent=body.source.user_agent,
    )


def _tracked(source: LeadSource) -> dict[str, str]:
    """The source as the query of a page has it: by the names of payload.TRACKED."""
    known: dict[str, str | None] = {name: getattr(source, name) for name in ("page_url", "page_title", "referrer")}
    for part, names, prefix in (("utm", UTM, "utm_"), ("click_ids", CLICK_IDS, "")):
        given: dict[str, str | None] = getattr(source, part)
        if unknown := next((name for name in given if name not in names), None):
            raise invalid([Fault(f"There is no field “{unknown[:80]}”.", pointer=f"#/source/{part}/{unknown[:80]}")])
        known |= {f"{prefix}{name}": value for name, value in given.items()}
    return {name: value for name, value in known.items() if value}


def _address(text: str | None) -> str | None:
    """As the address of a visitor who posts the form: without a zone, which may be any text, and IPv4 as IPv4."""
    try:
        found = ip_address(text.partition("%")[0]) if text else None
        return str(getattr(found, "ipv4_mapped", None) or found) if found else None
    except ValueError:
        raise invalid([Fault("This is no IP address.", pointer="#/source/ip")]) from None


def _refuse_private(source: LeadSource) -> None:
    for name in ("ip", "user_agent"):
        if getattr(source, name) is not None:
            raise invalid([Fault("Only a private key may say this of the visitor.", pointer=f"#/source/{name}")])


def _key() -> str | None:
    header = request.headers.get("Idempotency-Key")
    try:
        return None if header is None else idempotency.key_of(header)
    except ValueError as error:
        raise Problem(400, str(error), [Fault(str(error), header="Idempotency-Key")]) from None


def _declined(declined: Declined) -> Problem:
    if declined.reason is DeclineReason.OTHER_SITE:
        return Problem(403, OTHER_SITE)
    if declined.reason is DeclineReason.CLOSED:
        return Problem(409, str(form_texts.of(declined.form.interface)["closed"]))
    if declined.reason is DeclineReason.KEY_SPENT:
        return Problem(410, idempotency.DELETED, [Fault(idempotency.DELETED, header="Idempotency-Key")])
    if declined.reason is DeclineReason.KEY_REUSED or declined.answers is None:
        return invalid([Fault(idempotency.REUSED, header="Idempotency-Key")])
    errors: dict[str, list[str]] = declined.answers.errors
    return invalid([Fault(words[0], pointer=_pointer(name)) for name, words in errors.items()])


def _pointer(field: str) -> str:
    return "#/fields" if field == "_form" else f"#/fields/{field}"


def _created(captured: Captured, form: PublishedForm) -> Answered:
    interface = form.interface.public_id
    location: dict[str, Any] = {"Location": f"{BASE}/leads/{captured.lead_id}"}
    return Answered(CreatedLead(captured.lead_id, interface), 201 if captured.is_new else 200, location)


def _after(seconds: int) -> dict[str, str]:
    return {"Retry-After": str(seconds)}


def let_browsers_read(response: Response) -> None:
    """CORS: a page of an allowed site may send leads with a public key, and read the answer. What needs a private key
    cannot be read by pages."""
    if request.method == "OPTIONS":
        response.headers["Access-Control-Allow-Origin"] = "*"
        response.headers["Access-Control-Allow-Methods"] = "POST"
        response.headers["Access-Control-Allow-Headers"] = "Authorization, Content-Type, Idempotency-Key"
        response.headers["Access-Control-Max-Age"] = "86400"
        return
    caller, allowed = g.get("caller"), g.get("allowed_sites") or []
    own_origins = current_config.public_url, f"{request.scheme}://{request.host}"
    response.headers.add("Vary", "Origin")
    if caller is not None and caller.access == KeyAccess.PRIVATE:
        return
    if allowed_sites.may_post(allowed, request.headers.get("Origin"), own_origins):
        response.headers["Access-Control-Allow-Origin"] = "*"
        response.headers["Access-Control-Expose-Headers"] = EXPOSED
