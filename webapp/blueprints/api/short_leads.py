"""The short way of `POST /api/v1/leads`, for programs with a private key: see blueprints/short_way.py.

What is refused, and every request that is not everyday, is answered by the operation in new_leads.py. It gets what was
found out here.
"""

import re
from typing import TYPE_CHECKING

from werkzeug.wsgi import get_host

from webapp.blueprints import short_way
from webapp.blueprints.api import new_leads
from webapp.blueprints.api.new_leads import NewLeadRequest
from webapp.blueprints.short_way import OUTCOME, ShortAnswer
from webapp.models import KeyAccess, Scope
from webapp.services.intake import published_forms, submissions
from webapp.services.intake.submissions import Captured
from webapp.services.signs.counters import result_of
from webapp.web.api import inputs, keys, rates
from webapp.web.api.operations import BASE

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

REVOKED_FOR = 1.0  # seconds that a key may go on creating leads after it was revoked
_TYPE = re.compile(r"application/json(?:; ?charset=utf-8)?", re.IGNORECASE)


def created(environ: "WSGIEnvironment") -> ShortAnswer | None:
    """Stores the lead of an everyday request. None, or an error, where Flask must answer."""
    if not _TYPE.fullmatch(environ.get("CONTENT_TYPE", "")):
        return None
    caller = keys.caller_of(environ.get("HTTP_AUTHORIZATION"), REVOKED_FOR)
    if caller.access != KeyAccess.PRIVATE or Scope.CAPTURE not in caller.scopes or not caller.is_noted:
        return None
    sent = short_way.body_of(environ)
    if sent is None:
        return None
    body = inputs.decoded(sent, NewLeadRequest)
    form = published_forms.cached(body.interface)
    if form is None or form.interface.account_id != caller.account_id or not caller.reaches(body.interface):
        return None
    post = new_leads.post_of(body, f"{environ['wsgi.url_scheme']}://{get_host(environ)}")
    if any(quota.is_exceeded for quota in rates.taken(environ, caller.public_id)):
        return None
    environ[OUTCOME] = result = submissions.submit(body.interface, post)
    if not isinstance(result, Captured):
        return None
    counts_as = result_of(201, result.spam is not None)
    return ShortAnswer(result.form, ("api",), result.lead_id, result.lead_id, counts_as, rates.headers(environ))


WAYS = {f"{BASE}/leads": created}
