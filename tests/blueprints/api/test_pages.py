"""The list of leads costs the same at its end as at its beginning. make soak reads a thousand pages."""

import pytest
from flask import Flask

from tests.conftest import PASSWORD, AppMaker
from tests.support import api_pages
from tests.support.api import Caller, key_for

PAGES = 20


@pytest.fixture
def filled(make_app: AppMaker) -> tuple[Flask, Caller]:
    app = make_app(API_RATE_LIMIT="")
    account_id = api_pages.seed(app, 100 * PAGES, PASSWORD)
    with app.app_context():
        program = Caller(app.test_client(), key_for(account_id))
    program.get("/account")  # notes the use of the key
    return app, program


def test_each_page_takes_three_statements_and_the_last_one_no_more_time(filled: tuple[Flask, Caller]) -> None:
    app, program = filled
    found = api_pages.read(app, program)
    assert len(found.sizes) > PAGES / 2, "a part is spam, or another account's"
    assert set(found.sizes[:-1]) == {100}
    assert max(found.statements) <= 3, found.statements
    ends = (api_pages.FIRST, found.last)
    first, last = api_pages.milliseconds(program, ends, 21, api_pages.clock_of(app))
    assert min(last) <= 1.5 * min(first), (first, last)
