"""The RQ dashboard: only for the operator, with JSON jobs, on a unix socket, safe from other sites."""

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from rq import SimpleWorker
from rq.job import Job
from rq.serializers import JSONSerializer
from rq.timeouts import TimerDeathPenalty

from tests.support.valkey import Valkey
from webapp.delivery.rings import FAST, MAIL, NAMES, SLOW, queues
from webapp.models import User

pytestmark = pytest.mark.once

HERE = {"Sec-Fetch-Site": "same-origin"}
VIEWS = ("/rq/", "/rq/0/view/workers", "/rq/0/view/jobs", "/rq/0/view/jobs/fast/failed/8/asc/1")
DATA = ("/rq/0/data/queues.json", "/rq/0/data/workers.json", "/rq/0/data/jobs/fast/failed/8/asc/1.json")
POSTS = (
    "/rq/job/x/delete",
    "/rq/job/x/requeue",
    "/rq/requeue/fast",
    "/rq/queue/fast/queued/empty",
    "/rq/queue/fast/compact",
)
during: list[Callable[[], Any]] = []


def look() -> None:
    """A job that looks at the dashboard while it runs."""
    during.append(during.pop()())


class Worker(SimpleWorker):
    death_penalty_class = TimerDeathPenalty  # the default uses SIGALRM, which pytest-timeout needs


def work(name: str = FAST) -> None:
    Worker([queues.get(name)], connection=queues.redis, serializer=JSONSerializer).work(burst=True)


@pytest.fixture
def failed(app: Flask) -> Job:
    """A job that failed with markup in its message."""
    job = queues.get(FAST).enqueue("builtins.int", "<img src=x onerror=alert(1)>", failure_ttl=86400)
    work()
    return job


def jobs(client: FlaskClient, registry: str, queue: str = FAST, order: str = "asc") -> list[dict[str, Any]]:
    return client.get(f"/rq/0/data/jobs/{queue}/{registry}/8/{order}/1.json").get_json()["jobs"]


def test_only_the_operator_sees_it(client: FlaskClient, stranger: FlaskClient) -> None:
    for path in ("/rq", *VIEWS, *DATA, "/rq/0/view/job/x", "/rq/favicon.ico", "/rq/static/css/main.css"):
        assert stranger.get(path).status_code == 404, path
        answer = client.get(path)
        assert (answer.status_code, answer.location.split("?")[0]) == (303, "/login"), path


def test_only_the_operator_can_post(client: FlaskClient, stranger: FlaskClient) -> None:
    for path in POSTS:
        assert stranger.post(path, headers=HERE).status_code == 404, path
        assert client.post(path, headers=HERE).status_code == 303, path


def test_the_short_address_and_the_menu_open_it(signed_in: FlaskClient) -> None:
    for path in ("/rq", "/rq/0/view/queues"):
        answer = signed_in.get(path, follow_redirects=True)
        assert (answer.status_code, answer.request.path) == (200, "/rq/")


def test_its_pages_have_their_own_policy(signed_in: FlaskClient) -> None:
    for path in VIEWS:
        answer = signed_in.get(path)
        assert answer.status_code == 200, path
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "'unsafe-inline'" not in policy.split("style-src-attr")[0]
        assert "http" not in policy
        nonce = policy.split("'nonce-")[1].split("'")[0]
        assert f'<script nonce="{nonce}">' in answer.text
        assert '<script type="text/javascript">' not in answer.text


def test_other_pages_keep_the_strict_policy(signed_in: FlaskClient) -> None:
    signed_in.get("/rq/")
    assert "unsafe" not in signed_in.get("/docs/webhooks").headers["Content-Security-Policy"]


def test_leadhooks_queues_are_listed_before_their_first_job(signed_in: FlaskClient) -> None:
    listed = signed_in.get("/rq/0/data/queues.json").get_json()["queues"]
    assert {queue["name"] for queue in listed} == set(NAMES)


def test_jobs_of_every_state_are_listed(signed_in: FlaskClient, failed: Job) -> None:
    done = queues.get(SLOW).enqueue("operator.add", 1, 2, result_ttl=500)
    work(SLOW)
    waiting = queues.get(MAIL).enqueue("operator.add", 3, 4)
    assert [job["id"] for job in jobs(signed_in, "failed")] == [failed.id]
    assert "invalid literal" in jobs(signed_in, "failed")[0]["exc_info"]
    assert [job["id"] for job in jobs(signed_in, "finished", SLOW, "dsc")] == [done.id]
    assert [job["description"] for job in jobs(signed_in, "queued", MAIL)] == ["operator.add(3, 4)"]
    assert [jobs(signed_in, registry) for registry in ("scheduled", "deferred", "started", "canceled")] == [[]] * 4
    assert waiting.id


def test_a_running_job_and_its_worker_are_shown(signed_in: FlaskClient) -> None:
    during[:] = [lambda: (jobs(signed_in, "started"), signed_in.get("/rq/0/data/workers.json").get_json()["workers"])]
    job = queues.get(FAST).enqueue(look)
    work()
    started, [worker] = during.pop()
    assert [job["id"] for job in started] == [job.id]
    assert worker["queues"] == [FAST]
    assert worker["current_job"]["job_id"] == job.id
    assert worker["current_job"]["call_string"].endswith("look()")


def test_a_job_is_shown_with_its_result_or_its_error(signed_in: FlaskClient, failed: Job) -> None:
    done = queues.get(SLOW).enqueue("operator.add", 1, 2, result_ttl=500)
    work(SLOW)
    for job, result, status in ((done, 3, "finished"), (failed, None, "failed")):
        assert signed_in.get(f"/rq/0/view/job/{job.id}").status_code == 200
        shown = signed_in.get(f"/rq/0/data/job/{job.id}.json").get_json()
        assert (shown["result"], shown["status"]) == (result, status)


def test_text_from_a_job_is_escaped(signed_in: FlaskClient, failed: Job) -> None:
    page = signed_in.get(f"/rq/0/view/job/{failed.id}").text
    assert "<%- d.exc_info %>" in page
    assert "<%= d." not in page


def test_failed_jobs_are_requeued_one_by_one_and_all_together(signed_in: FlaskClient, failed: Job) -> None:
    assert signed_in.post(f"/rq/job/{failed.id}/requeue", headers=HERE).get_json() == {"status": "OK"}
    assert [job["id"] for job in jobs(signed_in, "queued")] == [failed.id]
    work()
    queues.get(FAST).enqueue("operator.truediv", 1, 0)
    work()
    assert signed_in.post("/rq/requeue/fast", headers=HERE).get_json() == {"status": "OK", "count": 2}
    assert len(jobs(signed_in, "queued")) == 2
    assert Job.fetch(failed.id, connection=queues.redis, serializer=JSONSerializer).args


def test_jobs_are_deleted_and_queues_emptied(signed_in: FlaskClient, failed: Job) -> None:
    assert signed_in.post(f"/rq/job/{failed.id}/delete", headers=HERE).get_json() == {"status": "OK"}
    assert jobs(signed_in, "failed") == []
    for _ in range(3):
        queues.get(FAST).enqueue("operator.truediv", 1, 0)
    assert signed_in.post("/rq/queue/fast/compact", headers=HERE).get_json() == {"status": "OK"}
    assert len(jobs(signed_in, "queued")) == 3
    assert signed_in.post("/rq/queue/fast/queued/empty", headers=HERE).get_json() == {"status": "OK"}
    assert jobs(signed_in, "queued") == []
    queues.get(FAST).enqueue("operator.truediv", 1, 0)
    work()
    assert signed_in.post("/rq/queue/fast/failed/empty", headers=HERE).get_json() == {"status": "OK"}
    assert jobs(signed_in, "failed") == []


def test_a_post_from_another_page_changes_nothing(signed_in: FlaskClient, failed: Job) -> None:
    queues.get(FAST).enqueue("operator.add", 1, 2)
    for site in (None, "same-site", "cross-site", "none", "Same-Origin "):
        for path in POSTS:
            headers = {"Sec-Fetch-Site": site} if site else {}
            answer = signed_in.post(path.replace("/x/", f"/{failed.id}/"), headers=headers)
            assert answer.status_code == 403, (path, site)
    assert [job["id"] for job in jobs(signed_in, "failed")] == [failed.id]
    assert len(jobs(signed_in, "queued")) == 1


def test_its_posts_work_when_csrf_tokens_are_required(make_app: Callable[..., Flask], owner: User) -> None:
    client = make_app(csrf=True).test_client()
    with client.session_transaction() as session:
        session["_user_id"], session["_fresh"] = owner.get_id(), True
    assert client.post("/rq/queue/fast/compact", headers=HERE).get_json() == {"status": "OK"}
    assert client.post("/rq/queue/fast/compact").status_code == 403


def test_its_get_that_changes_state_is_refused(signed_in: FlaskClient, failed: Job) -> None:
    for ask in (signed_in.get, signed_in.head):
        answer = ask("/rq/requeue/fast", headers=HERE)
        assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")
    assert [job["id"] for job in jobs(signed_in, "failed")] == [failed.id]


def test_an_invalid_address_is_not_found(signed_in: FlaskClient) -> None:
    for path in (
        "/rq/1/",
        "/rq/7/view/workers",
        "/rq/0/view/job/nothing",
        "/rq/0/data/job/nothing.json",
        "/rq/0/data/job/<b>.json",
        "/rq/0/view/job/no:thing",
        "/rq/0/data/jobs/fast/nothing/8/asc/1.json",
        "/rq/0/data/jobs/fast/queued/0/asc/1.json",
        "/rq/0/data/jobs/fast/queued/x/asc/1.json",
        "/rq/0/data/jobs/fast/queued/8/asc/0.json",
        "/rq/0/data/jobs/fast/queued/8/asc/-1.json",
        "/rq/0/data/jobs/fast/queued/8/up/1.json",
        "/rq/0/data/jobs/fast/queued/99999999999/asc/1.json",
    ):
        assert signed_in.get(path).status_code == 404, path


def test_a_missing_or_invalid_job_is_not_found(signed_in: FlaskClient) -> None:
    for path in ("nothing/requeue", "no thing/requeue", "<b>/requeue", "<b>/delete"):
        assert signed_in.post(f"/rq/job/{path}", headers=HERE).status_code == 404, path


def test_without_redis_a_page_says_so(signed_in: FlaskClient, valkey: Valkey) -> None:
    valkey.stop()
    for path in VIEWS:
        answer = signed_in.get(path)
        assert answer.status_code == 503, path
        assert "Redis does not answer" in answer.text
        assert "unsafe" not in answer.headers["Content-Security-Policy"]


def test_without_redis_its_polling_gets_json(signed_in: FlaskClient, valkey: Valkey) -> None:
    valkey.stop()
    answer = signed_in.get("/rq/0/data/queues.json", headers={"Accept": "application/json, */*; q=0.01"})
    assert answer.status_code == 503
    assert "Redis does not answer" in answer.get_json()["error"]


def test_it_does_not_show_the_redis_url(signed_in: FlaskClient, valkey_url: str) -> None:
    assert all(valkey_url.removeprefix("unix://") not in signed_in.get(path).text for path in VIEWS)
