"""All that can be sent to the API gets the answer that the document says: schemathesis, with all its checks and links.

FUZZ_SECONDS makes it longer, and then each run differs: `make soak` takes ten minutes. It says the FUZZ_SEED that
repeats the run.
"""

import os
from random import randrange

import pytest

from tests.conftest import AppMaker
from tests.support.accounts import everything_of
from tests.support.api import key_for
from tests.support.api_fuzzing import fuzz
from webapp.models import User
from webapp.web.api import document
from webapp.web.api.operations import OPERATIONS

SECONDS = int(os.environ.get("FUZZ_SECONDS", "30"))
SEED = int(os.environ.get("FUZZ_SEED") or (randrange(1_000_000) if "FUZZ_SECONDS" in os.environ else 1))


@pytest.mark.long
@pytest.mark.timeout(SECONDS + 300)
def test_each_answer_is_what_the_document_says(make_app: AppMaker, owner: User, names: dict[str, str]) -> None:
    """No worker runs, and a name that is saved for a webhook leads to loopback: nothing is sent to anyone."""
    names.update({"crm.example.com": "127.0.0.1"})
    everything_of(owner)
    key = key_for(owner.account_id)
    found = fuzz(make_app(API_RATE_LIMIT="", FORM_RATE_LIMIT=""), key, SECONDS, SEED)
    print(f"FUZZ_SEED={SEED}, {found.checks.total()} checks: {dict(found.operations)}; by links: {dict(found.linked)}")
    assert not found.failures, "\n\n".join(found.failures[:20])
    assert found.checks.total() > 300
    if SECONDS >= 300:  # a busy machine comes to few in 30 s
        assert set(found.operations) == {f"{each.method} {document.template_of(each)}" for each in OPERATIONS}
        assert found.linked, "no operation was called with what another one answered"
