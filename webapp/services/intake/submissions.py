"""A posted form: it is judged once, then captured as a lead, or declined.

`submit` is the whole way of a post, top to bottom: find the form, judge, capture.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import Any, NamedTuple

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


class Post(NamedTuple):
    """What was posted, and what the request says about where it comes from.

    `values` holds the last value of each name, `repeated` all values of each name of a form post. `own_origins` are the
    addresses of this installation. `key` is the post's Idempotency-Key. `hops`: how many webhooks brought it here.
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
    lost: frozenset[str] = frozenset()  # ids of files that it refers to and that cannot be had
    hops: int = 0


class DeclineReason(Enum):
    """Why a post is declined."""

    OTHER_SITE = auto()  # it comes from a site that is not among the form's allowed sites
    CLOSED = auto()
    INVALID = auto()  # an answer is invalid, or there is none; `answers` says which and why
    KEY_REUSED = auto()  # its Idempotency-Key belongs to a lead with other answers
    KEY_SPENT = auto()  # to a lead that was deleted


@dataclass(frozen=True, slots=True)
class Captured:
    """A lead that is stored now, or was stored when the same form was sent before."""

    form: PublishedForm
    lead_id: str
    spam: str | None
    undeclared_files: Sequence[Mapping[str, Any]] = ()  # that no field asks for: field, name, size
    is_new: bool = True  # False: it was stored when the same was sent before


@dataclass(frozen=True, slots=True)
class Declined:
    """A post that makes no lead."""

    form: PublishedForm
    reason: DeclineReason
    answers: LeadForm | None = None
    tracked: Mapping[str, str] = field(default_factory=dict)
    token: str | None = None  # as it was posted, where it is one of this form's
    others: Mapping[str, Any] = field(default_factory=dict)  # undeclared answers, for the form that is shown again


def submit(public_id: str, post: Post) -> Captured | Declined:
    """Makes a lead of a post. NotFound where there is no such form.

    A form is cached, so a post may be judged by an older version of it. Then its lead is not stored, and it is not
    declined: it is judged again by the new version.
    """
    form = published_forms.cached(public_id) or published_forms.get(public_id)
    for _ in range(MAX_ATTEMPTS):
        judgement = judge(form, post)
        if post.files:
            if outcome := _known_by_key(judgement, post):
                return outcome  # so that its files are not stored again
            stored.keep(form.interface, [upload for sent in post.files.values() for upload in sent])
        try:
            outcome = _capture(judgement, post) if isinstance(judgement, capture.Submission) else None
        except FilesGone as gone:
            post = post._replace(lost=post.lost | gone.public_ids)
            continue
        if outcome:
            return outcome
        current = published_forms.get(public_id)
        if isinstance(judgement, Declined) and current is form:
            return _captured_before(judgement, post) or judgement
        form = current
    raise RuntimeError(f"form {public_id} changed each time a post was judged")


def judge(form: PublishedForm, post: Post) -> capture.Submission | Declined:
    """Whether the form accepts the post: the lead to capture, or why not. Reads no database and changes nothing."""
    interface = form.interface
    sent_token = post.values.get(visitor.TOKEN)
    token = visitor.read_token(interface.public_id, sent_token)
    sites = interface.allowed_sites
    if sites and not allowed_sites.may_post(sites, post.origin, post.own_origins, token is not None):
        return Declined(form, DeclineReason.OTHER_SITE)
    if interface.closed_at:
        return Declined(form, DeclineReason.CLOSED)
    values, repeated, others = post.values, post.repeated, NOTHING
    tracked = visitor.tracked(values, post.query, post.page, post.referrer)
    unread = NOTHING if visitor.TRACKED_NAMES.isdisjoint(values) else visitor.unread(values, tracked)
    files = _posted_files(form, post, token)
    unasked = NOTHING if files is NO_FILES else file_answers.undeclared_answers(files, form.fields)
    if unasked or unread or not form.names.issuperset(values):
        more, known = {**unread, **unasked}, form.names
        if files is not NO_FILES:
            known |= files.references(interface.fields)
        values, repeated, others = undeclared.sort(values, repeated, known, form.other_names, more)
    asked: dict[str, Any] = {"repeated": repeated, "hidden": post.query, "files": files, "rules": form.rules}
    answers = LeadForm(form.fields, values, **asked)
    if not answers.errors and not others and _says_nothing(answers, token):
        answers.fault = form.rules.words["nothing"]
    if answers.fault or answers.errors:
        page_token = str(sent_token) if token else None
        return Declined(form, DeclineReason.INVALID, answers, tracked, _referring(form, answers, page_token), others)
    return capture.Submission(form, _lead(form, post, answers, others, tracked, token))


def _lead(
    form: PublishedForm,
    post: Post,
    answers: LeadForm,
    others: Mapping[str, Any],
    tracked: Mapping[str, str],
    token: visitor.Token | None,
) -> capture.NewLead:
    interface, values = form.interface, answers.values
    ip = visitor.kept_address(post.ip, interface.ip_addresses)
    source = visitor.source(tracked, ip, post.user_agent)
    if post.hops:
        source["hops"] = post.hops
    asks_consent = any(field.type == FieldType.CONSENT for field in form.fields)
    unique, digest = values if post.files is None else _without_links(answers), None
    nonce = visitor.nonce_of(token, unique, others)
    if post.key:
        nonce, digest = _keyed(interface, post, post.key)
    return capture.new_lead(
        interface,
        values,
        source,
        fields=form.fields,
        typed=answers.typed,
        marks=answers.marks,
        undeclared=others,
        consents=consents.given(form.fields, values, source["page_url"]) if asks_consent else (),
        files=[upload.public_id for upload in _files(answers)] if post.files is not None else (),
        ip=post.ip,
        nonce=nonce,
        content_digest=digest,
        spam=visitor.spam_reason(interface, post.values, token, values, post.ip),
    )


def _capture(judged: capture.Submission, post: Post) -> Captured | Declined | None:
    """The lead of a submission; None where its form changed. FilesGone where its files cannot be had."""
    lead_id = capture.submit(judged)
    if lead_id is None:
        return _sent_before(judged, post)
    if judged.lead.marks:
        _log_cuts(judged, post)
    return _captured(judged.form, lead_id, judged.lead.spam, post)


def _captured(form: PublishedForm, lead_id: str, spam: str | None, post: Post) -> Captured:
    unasked: Sequence[Mapping[str, Any]] = ()
    if post.files is not None:
        token = visitor.read_token(form.interface.public_id, post.values.get(visitor.TOKEN))
        unasked = file_answers.undeclared(_posted_files(form, post, token), form.interface.fields)
    return Captured(form, lead_id, spam, unasked)


def _known_by_key(judgement: capture.Submission | Declined, post: Post) -> Captured | Declined | None:
    """The answer to a post whose Idempotency-Key has a lead already; None for any other post."""
    if isinstance(judgement, Declined):
        return _captured_before(judgement, post)
    return _sent_before(judgement, post) if post.key else None


def _sent_before(judged: capture.Submission, post: Post) -> Captured | Declined | None:
    """What the lead that has this nonce already means for the post; None if there is none: the form has changed."""
    form, lead = judged
    if lead.nonce is None:
        return None
    try:
        found = idempotency.lead_of(lead.nonce, lead.content_digest)
    except idempotency.KeyReused:
        return Declined(form, DeclineReason.KEY_REUSED)
    except idempotency.KeySpent:
        return Declined(form, DeclineReason.KEY_SPENT)
    return replace(_captured(form, *found, post), is_new=False) if found else None


def _captured_before(declined: Declined, post: Post) -> Captured | None:
    """The lead of a post with an Idempotency-Key that was accepted before and would be declined now: by a form that was
    closed or changed meanwhile."""
    if not post.key or declined.reason == DeclineReason.OTHER_SITE:
        return None
    with suppress(idempotency.KeyTaken):
        if found := idempotency.lead_of(*_keyed(declined.form.interface, post, post.key)):
            return replace(_captured(declined.form, *found, post), is_new=False)
    return None


def _keyed(interface: Interface, post: Post, key: str) -> idempotency.Keyed:
    files = [[name, upload.identity] for name, uploads in (post.files or {}).items() for upload in uploads]
    hidden = [field.key for field in interface.fields if field.type == FieldType.HIDDEN]
    from_query = {name: post.query[name] for name in hidden if name in post.query and name not in post.values}
    return idempotency.keyed(interface.id, key, {**post.values, **from_query}, post.repeated, files)


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


def _log_cuts(stored_now: capture.Submission, post: Post) -> None:
    """Names each hidden value that was too long, so that the operator can find the page that sends it."""
    interface, lead = stored_now.form.interface.public_id, stored_now.lead
    for key in (key for key, mark in (lead.marks or {}).items() if mark == CUT):
        sent, kept = post.values.get(key) or post.query.get(key) or "", lead.fields[key]
        log.warning("hidden value cut", interface=interface, field=key, sent=len(str(sent)), kept=len(kept))


def _posted_files(form: PublishedForm, post: Post, token: visitor.Token | None) -> PostedFiles:
    if post.files is None:
        return NO_FILES
    nonce = token.nonce if token else None
    return PostedFiles.of(post.files, post.repeated, form.interface.public_id, nonce, post.lost)


def _files(answers: LeadForm) -> list[Upload]:
    return [upload for answer in answers.answers for upload in answer.files]


def _without_links(answers: LeadForm) -> dict[str, Any]:
    """The values of the answers, but equal for the same files, whose links differ each time."""
    return answers.values | {each.key: [file.identity for file in each.files] for each in answers.answers if each.files}


def _referring(form: PublishedForm, answers: LeadForm, token: str | None) -> str | None:
    """The token for the form when it is shown again. If it keeps files, they are bound to that token."""
    files = _files(answers)
    if not files:
        return token
    form_id = form.interface.public_id
    token = token or visitor.new_token(form_id)
    read = visitor.read_token(form_id, token)
    assert read
    file_answers.refer(files, form_id, read.nonce)
    return token
