"""A posted form: it is judged once, then captured as a lead, or declined.

`submit` is the whole way of a post, top to bottom: find the form, judge, capture.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import Any

from sqlalchemy import select

from webapp.db.transactions import read_autocommit
from webapp.models import Lead
from webapp.services.files import stored
from webapp.services.files.stored import FilesGone
from webapp.services.files.uploads import Upload
from webapp.services.intake import capture, file_answers, published_forms, visitor
from webapp.services.intake.answers import LeadForm, consents_given
from webapp.services.intake.file_answers import NO_FILES, PostedFiles
from webapp.services.intake.published_forms import PublishedForm

MAX_ATTEMPTS = 5  # to judge and capture one post while its form changes


@dataclass(frozen=True, slots=True)
class Post:
    """What was posted, and what the request says about where it comes from.

    `values` holds the last value of each name, `repeated` all values of each name of a form post. `own_origins` are the
    addresses of this installation.
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
    files: Mapping[str, Sequence[Upload]] | None = None  # of a multipart post, by the name of the control
    lost: frozenset[str] = frozenset()  # ids of files that it refers to and that cannot be had


class DeclineReason(Enum):
    """Why a post is declined."""

    OTHER_SITE = auto()  # it comes from a site that is not among the form's allowed sites
    CLOSED = auto()
    INVALID = auto()  # an answer is invalid; `answers` says which


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
    for _ in range(MAX_ATTEMPTS):
        judgement = judge(form, post)
        if post.files:
            stored.keep(form.interface, [upload for sent in post.files.values() for upload in sent])
        try:
            captured = _capture(judgement, post) if isinstance(judgement, capture.Submission) else None
        except FilesGone as gone:
            post = replace(post, lost=post.lost | gone.public_ids)
            continue
        if captured:
            return captured
        current = published_forms.get(public_id)
        if isinstance(judgement, Declined) and current is form:
            return judgement
        form = current
    raise RuntimeError(f"form {public_id} changed each time a post was judged")


def _capture(judged: capture.Submission, post: Post) -> Captured | None:
    """The lead of a submission; None where its form changed. FilesGone where its files cannot be had."""
    lead_id = capture.submit(judged) or _sent_before(judged.lead.nonce)
    if lead_id is None:
        return None
    undeclared = file_answers.undeclared(post.files, judged.form.interface.fields) if post.files else ()
    return Captured(judged.form, lead_id, judged.lead.spam, undeclared)


def judge(form: PublishedForm, post: Post) -> capture.Submission | Declined:
    """Whether the form accepts the post: the lead to capture, or why not. Reads no database and changes nothing."""
    interface = form.interface
    if not visitor.may_post(interface.allowed_sites or (), post.origin, post.own_origins):
        return Declined(form, DeclineReason.OTHER_SITE)
    if interface.closed_at:
        return Declined(form, DeclineReason.CLOSED)
    sent_token = post.values.get(visitor.TOKEN)
    token = visitor.read_token(interface.public_id, sent_token)
    files = _posted_files(form, post, token) if post.files is not None else NO_FILES
    asked: dict[str, Any] = {"repeated": post.repeated, "hidden": post.query, "files": files, "rules": form.rules}
    answers = LeadForm(interface.fields, post.values, **asked)
    tracked = visitor.tracked(post.values, post.query, post.page, post.referrer)
    if answers.errors:
        page_token = str(sent_token) if token else None
        return Declined(form, DeclineReason.INVALID, answers, tracked, _referring(form, answers, page_token))
    values, ip = answers.values, visitor.kept_address(post.ip, interface.ip_addresses)
    source = visitor.source(tracked, ip, post.user_agent)
    lead = capture.new_lead(
        interface,
        values,
        source,
        typed=answers.typed,
        marks=answers.marks,
        undeclared=file_answers.undeclared_answers(post.files, interface.fields) if post.files else None,
        consents=consents_given(interface.fields, values, source["page_url"]),
        files=[upload.public_id for upload in _files(answers)] if post.files is not None else (),
        nonce=visitor.nonce_of(token, values if post.files is None else _without_links(answers)),
        spam=visitor.spam_reason(interface, post.values, token, values, post.ip),
    )
    return capture.Submission(form, lead)


def _posted_files(form: PublishedForm, post: Post, token: visitor.Token | None) -> PostedFiles:
    nonce = token.nonce if token else None
    return PostedFiles.of(post.files or {}, post.repeated, form.interface.public_id, nonce, post.lost)


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


def _sent_before(nonce: str | None) -> str | None:
    """The public id of the lead that the same form with the same answers became before."""
    if nonce is None:
        return None
    with read_autocommit() as connection:
        return connection.scalar(select(Lead.public_id).where(Lead.nonce == nonce))
