"""A posted form: it is judged once, then captured as a lead, or declined.

`submit` is the whole way of a post, top to bottom: find the form, judge, capture.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

import structlog

from webapp.models import FieldType, Interface
from webapp.services.files import stored
from webapp.services.files.stored import FilesGone
from webapp.services.files.uploads import Upload
from webapp.services.intake import (
    allowed_sites,
    capture,
    consents,
    file_answers,
    idempotency,
    published_forms,
    undeclared,
    visitor,
)
from webapp.services.intake.answers import LeadForm
from webapp.services.intake.file_answers import NO_FILES, PostedFiles
from webapp.services.intake.published_forms import PublishedForm
from webapp.services.intake.rules import CUT

MAX_ATTEMPTS = 5  # to judge and capture one post while its form changes
NOTHING: dict[str, Any] = {}

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Post:
    """What was posted, and what the request says about where it comes from.

    `values` holds the last value of each name, `repeated` all values of each name of a form post. `own_origins` are the
    addresses of this installation. `key` is the post's Idempotency-Key.
    """

    values: Mapping[str, Any]
    repeated: Mapping[str, Sequence[str]]
    query: Mapping[str, str]
    page: str | None
    referrer: str | None
    origin: str | None
    own_origins: Sequence[str]
    ip: str | None
    user_agent: str | None
    key: str | None = None
    files: Mapping[str, Sequence[Upload]] | None = None  # of a multipart post, by the name of the control


class DeclineReason(Enum):
    """Why a post is declined."""

    OTHER_SITE = auto()  # it comes from a site that is not among the form's allowed sites
    CLOSED = auto()
    INVALID = auto()  # an answer is invalid, or there is none; `answers` says which and why
    KEY_REUSED = auto()  # its Idempotency-Key belongs to a lead with other answers


@dataclass(frozen=True, slots=True)
class Captured:
    """A lead that is stored now, or was stored when the same form was sent before."""

    form: PublishedForm
    lead_id: str
    spam: str | None
    undeclared_files: Sequence[Mapping[str, Any]] = ()  # that no field asks for: field, name, size


@dataclass(frozen=True, slots=True)
class Declined:
    """A post that makes no lead."""

    form: PublishedForm
    reason: DeclineReason
    answers: LeadForm | None = None
    tracked: Mapping[str, str] = field(default_factory=dict)
    token: str | None = None  # as it was posted, where it is one of this form's


def submit(public_id: str, post: Post) -> Captured | Declined:
    """Makes a lead of a post. NotFound where there is no such form.

    A form is cached, so a post may be judged by an older version of it. Then its lead is not stored, and it is not
    declined: it is judged again by the new version.
    """
    form = published_forms.cached(public_id) or published_forms.get(public_id)
    lost: set[str] = set()
    for _ in range(MAX_ATTEMPTS):
        judgement = judge(form, post, lost)
        if post.files:
            sent = [upload for uploads in post.files.values() for upload in uploads if upload.is_accepted]
            stored.keep(form.interface, sent)
        if isinstance(judgement, capture.Submission):
            try:
                lead_id = capture.submit(judgement)
            except FilesGone as gone:
                lost |= gone.public_ids
                continue
            if lead_id and judgement.lead.marks:
                _log_cuts(judgement, post)
            outcome = _captured(judgement, lead_id, post) if lead_id else _sent_before(judgement, post)
            if outcome:
                return outcome
        current = published_forms.get(public_id)
        if isinstance(judgement, Declined) and current is form:
            return _captured_before(judgement, post) or judgement
        form = current
    raise RuntimeError(f"form {public_id} changed each time a post was judged")


def judge(form: PublishedForm, post: Post, lost: Iterable[str] = ()) -> capture.Submission | Declined:
    """Whether the form accepts the post: the lead to capture, or why not. Reads no database and changes nothing.

    `lost` are files that the form refers to and that cannot be had.
    """
    interface = form.interface
    sent_token = post.values.get(visitor.TOKEN)
    token = visitor.read_token(interface.public_id, sent_token)
    sites = interface.allowed_sites
    if sites and not allowed_sites.may_post(sites, post.origin, post.own_origins, token is not None):
        return Declined(form, DeclineReason.OTHER_SITE)
    if interface.closed_at:
        return Declined(form, DeclineReason.CLOSED)
    values, repeated, others = post.values, post.repeated, NOTHING
    files, unasked = _files_of(form, post, token, lost) if post.files is not None else (NO_FILES, NOTHING)
    if unasked or not form.names.issuperset(values):
        values, repeated, others = undeclared.sort(values, repeated, form.names, form.other_names, unasked)
    asked: dict[str, Any] = {"repeated": repeated, "hidden": post.query, "files": files, "rules": form.rules}
    answers = LeadForm(interface.fields, values, **asked)
    tracked = visitor.tracked(values, post.query, post.page, post.referrer)
    is_invalid = bool(answers.errors)
    if not is_invalid and not others and _says_nothing(answers, token):
        is_invalid, answers.fault = True, form.rules.words["nothing"]
    if is_invalid:
        page_token = str(sent_token) if token else None
        return Declined(form, DeclineReason.INVALID, answers, tracked, _referring(form, answers, page_token))
    return capture.Submission(form, _lead(interface, post, answers, others, tracked, token))


def _files_of(
    form: PublishedForm, post: Post, token: visitor.Token | None, lost: Iterable[str]
) -> tuple[PostedFiles, Mapping[str, Any]]:
    """The files that the form asks for, and all others as undeclared answers."""
    sent, interface = post.files or {}, form.interface
    files = PostedFiles.of(sent, post.repeated, interface.public_id, token.nonce if token else None, lost)
    return files, file_answers.as_answers(file_answers.undeclared(sent, interface.fields))


def _lead(
    interface: Interface,
    post: Post,
    answers: LeadForm,
    others: Mapping[str, Any],
    tracked: Mapping[str, str],
    token: visitor.Token | None,
) -> capture.NewLead:
    values, ip = answers.values, visitor.kept_address(post.ip, interface.ip_addresses)
    source = visitor.source(tracked, ip, post.user_agent)
    identity = answers.identity if post.files is not None else values
    asks_consent = any(field.type == FieldType.CONSENT for field in interface.fields)
    nonce, digest = visitor.nonce_of(token, identity, others), None
    if post.key:
        nonce, digest = _keyed(interface, post, post.key)
    return capture.new_lead(
        interface,
        values,
        source,
        typed=answers.typed,
        marks=answers.marks,
        undeclared=others,
        consents=consents.given(interface.fields, values, source["page_url"]) if asks_consent else (),
        files=[upload.public_id for upload in answers.files] if post.files is not None else (),
        nonce=nonce,
        content_digest=digest,
        spam=visitor.spam_reason(interface, post.values, token, values, post.ip),
    )


def _log_cuts(stored: capture.Submission, post: Post) -> None:
    """Names each hidden value that was too long, so that the operator can find the page that sends it."""
    interface, lead = stored.form.interface.public_id, stored.lead
    for key in (key for key, mark in (lead.marks or {}).items() if mark == CUT):
        sent, kept = post.values.get(key) or post.query.get(key) or "", lead.fields[key]
        log.warning("hidden value cut", interface=interface, field=key, sent=len(str(sent)), kept=len(kept))


def _says_nothing(answers: LeadForm, token: visitor.Token | None) -> bool:
    """Whether nothing was answered: every question is empty, and no hidden field has another value than its own.

    A form without a question takes a press of its button, which its token shows, or any value of a hidden field.
    """
    asks = False
    for answer in answers.answers:
        if answer.field.type == FieldType.HIDDEN:
            if answer.kept and answer.kept != answer.field.default:
                return False
        elif answer.field.type != FieldType.HEADING:
            asks = True
            if answer.kept or (answer.kept == 0 and answer.kept is not False):
                return False
    return asks or not (token or any(answer.kept for answer in answers.answers))


def _referring(form: PublishedForm, answers: LeadForm, token: str | None) -> str | None:
    """The token for the form when it is shown again. If it keeps files, they are bound to that token."""
    if not answers.files:
        return token
    form_id = form.interface.public_id
    token = token or visitor.new_token(form_id)
    read = visitor.read_token(form_id, token)
    assert read
    file_answers.refer(answers.files, form_id, read.nonce)
    return token


def _captured(judged: capture.Submission, lead_id: str, post: Post) -> Captured:
    form, lead = judged
    unasked = file_answers.undeclared(post.files, form.interface.fields) if post.files else ()
    return Captured(form, lead_id, lead.spam, unasked)


def _sent_before(judged: capture.Submission, post: Post) -> Captured | Declined | None:
    """What the lead that has this nonce already means for the post; None if there is none: the form has changed."""
    form, lead = judged
    if lead.nonce is None:
        return None
    try:
        lead_id = idempotency.lead_of(lead.nonce, lead.content_digest)
    except idempotency.KeyReused:
        return Declined(form, DeclineReason.KEY_REUSED)
    return _captured(judged, lead_id, post) if lead_id else None


def _captured_before(declined: Declined, post: Post) -> Captured | None:
    """The lead of a post with an Idempotency-Key that was accepted before and would be declined now: by a form that was
    closed or changed meanwhile."""
    if not post.key or declined.reason == DeclineReason.OTHER_SITE:
        return None
    with suppress(idempotency.KeyReused):
        if lead_id := idempotency.lead_of(*_keyed(declined.form.interface, post, post.key)):
            return Captured(declined.form, lead_id, None)
    return None


def _keyed(interface: Interface, post: Post, key: str) -> idempotency.Keyed:
    files = [[name, upload.identity] for name, uploads in (post.files or {}).items() for upload in uploads]
    return idempotency.keyed(interface.id, key, post.values, post.repeated, files)
