"""The RQ dashboard in a browser, beside real workers. The fixture `page` fails on any script error or refusal."""

from collections.abc import Iterator

import pytest
from flask import Flask
from playwright.sync_api import Page, expect
from rq.job import Job

from tests.browser.conftest import sign_in
from tests.support.waiting import wait_until
from webapp.delivery.rings import MAIL, NAMES, Queues

MARKUP = '<img src=x onerror=document.title="run">'


@pytest.fixture
def failed(site_app: Flask, site: object) -> Iterator[Job]:
    """A job that failed with markup in its message."""
    queues = Queues(site_app.extensions["leadhook_config"].redis_url)
    job = queues.get(MAIL).enqueue("builtins.int", MARKUP, failure_ttl=86400)
    wait_until(lambda: job.get_status() == "failed", "the job to fail")
    yield job
    if Job.exists(job.id, connection=queues.redis):
        job.delete()
    queues.redis.close()


def test_the_operator_finds_queues_and_workers(page: Page) -> None:
    sign_in(page)
    page.get_by_role("link", name="Job queue").click()
    for name in NAMES:
        page.get_by_role("cell", name=name, exact=True).wait_for()
    page.get_by_role("link", name="Workers").click()
    for name in NAMES:
        page.get_by_role("cell", name=name, exact=True).first.wait_for(timeout=60_000)  # they may still be starting
    page.get_by_role("link", name="Leadhook").click()
    page.wait_for_url("**/interfaces")


def test_a_failed_job_is_read_requeued_and_deleted(page: Page, failed: Job) -> None:
    sign_in(page)
    page.goto("/rq/0/view/jobs/mail/failed/8/asc/1")
    page.get_by_role("link", name=failed.id).click()
    page.locator("pre.exc_info").get_by_text(MARKUP).wait_for()
    expect(page).to_have_title("RQ dashboard")
    with page.expect_response("**/requeue") as answered:
        page.get_by_role("button", name="Requeue").click()
    assert answered.value.json() == {"status": "OK"}
    wait_until(lambda: len(failed.results()) == 2, "it to fail again")
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Yes").click()
    page.wait_for_url("**/rq/")
    assert not Job.exists(failed.id, connection=failed.connection)
