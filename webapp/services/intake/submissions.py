"""A posted form: it is judged once, then captured as a lead, or declined.

`submit` is the whole way of a post, top to bottom: find the form, judge, capture.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
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
    lost: set[str] = set()
    for _ in range(MAX_ATTEMPTS):
        judgement = judge(form, post, lost)
        if post.files:
            sent = [upload for uploads in post.files.values() for upload in uploads if upload.is_accepted]
            stored.keep(form.interface, sent)
        if isinstance(judgement, capture.Submission):
            try:
                lead_id = capture.submit(judgement) or _sent_before(judgement.lead.nonce)
            except FilesGone as gone:
                lost |= gone.public_ids
                continue
            if lead_id:
                undeclared = file_answers.undeclared(post.files, form.interface.fields) if post.files else ()
                return Captured(form, lead_id, judgement.lead.spam, undeclared)
        current = published_forms.get(public_id)
        if isinstance(judgement, Declined) and current is form:
            return judgement
        form = current
    raise RuntimeError(f"form {public_id} changed each time a post was judged")


def judge(form: PublishedForm, post: Post, lost: Iterable[str] = ()) -> capture.Submission | Declined:
    """Whether the form accepts the post: the lead to capture, or why not. Reads no database and changes nothing.

    `lost` are files that the form refers to and that cannot be had.
    """
    interface = form.interface
    if not visitor.may_post(interface.allowed_sites or (), post.origin, post.own_origins):
        return Declined(form, DeclineReason.OTHER_SITE)
    if interface.closed_at:
        return Declined(form, DeclineReason.CLOSED)
    sent_token = post.values.get(visitor.TOKEN)
    token = visitor.read_token(interface.public_id, sent_token)
    files, undeclared = NO_FILES, None
    if post.files is not None:
        files = PostedFiles.of(post.files, post.repeated, interface.public_id, token.nonce if token else None, lost)
        undeclared = file_answers.as_answers(file_answers.undeclared(post.files, interface.fields))
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
        undeclared=undeclared,
        consents=consents_given(interface.fields, values, source["page_url"]),
        files=[upload.public_id for upload in answers.files] if post.files is not None else (),
        nonce=visitor.nonce_of(token, answers.identity if post.files is not None else values),
        spam=visitor.spam_reason(interface, post.values, token, values, post.ip),
    )
    return capture.Submission(form, lead)


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


def _sent_before(nonce: str | None) -> str | None:
    """The public id of the lead that the same form with the same answers became before."""
    if nonce is None:
        return None
    with read_autocommit() as connection:
        return connection.scalar(select(Lead.public_id).where(Lead.nonce == nonce))
