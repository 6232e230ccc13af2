"""worker.py as a process: what it delivers, which failures it survives, how it ends."""

import os
import signal
import subprocess
import threading
import time

import pytest
from flask.testing import FlaskClient
from redis.exceptions import RedisError
from rq.worker import Worker
from sqlalchemy import func, select

from tests.conftest import METRICS_TOKEN
from tests.journeys.conftest import Workers
from tests.support.factories import ADA, captured, delivery_of, point_at, submit
from tests.support.forked import Program
from tests.support.receiver import Line, Receiver, answering
from tests.support.valkey import Valkey
from tests.support.waiting import wait_until
from webapp.db.transactions import read_autocommit, transaction
from webapp.delivery.rings import queues, rung_key
from webapp.delivery.worker_figures import attempts
from webapp.extensions import db
from webapp.models import Attempt, DeliveryState, Interface, Lane, Lead, User
from webapp.services.interfaces import interfaces


def serving() -> set[str]:
    """The queues that registered workers serve, as the dashboard would show them."""
    try:
        return {name for worker in Worker.all(connection=queues.redis) for name in worker.queue_names()}
    except RedisError:
        return set()


def wait_for_workers() -> None:
    wait_until(lambda: serving() == {"fast", "slow", "mail"}, "a worker for each queue", timeout=60)


def fast_workers() -> list[Worker]:
    return [worker for worker in Worker.all(connection=queues.redis) if worker.queue_names() == ["fast"]]


def capture(interface: Interface, number: int) -> list[Lead]:
    """Captures that number of leads together."""
    with transaction():
        return [captured(interface.public_id, ADA) for _ in range(number)]


def states(leads: list[Lead]) -> set[DeliveryState]:
    db.session.rollback()
    return {delivery_of(lead).state for lead in leads}


def processes_of(supervisor: Program) -> set[int]:
    ps = ["ps", "-o", "pid=", "--ppid", str(supervisor.pid)]
    return {int(pid) for pid in subprocess.run(ps, capture_output=True, text=True, check=False).stdout.split()}


def test_a_lead_reaches_its_receiver_automatically(interface: Interface, receiver: Receiver, workers: Workers) -> None:
    point_at(interface, receiver.url)
    workers.start()
    wait_for_workers()
    lead = submit(interface)
    receiver.wait_for(1)
    wait_until(lambda: delivery_of(lead).state == DeliveryState.DELIVERED, "the record")


@pytest.mark.once
def test_the_attempts_of_worker_processes_are_counted(
    interface: Interface, receiver: Receiver, workers: Workers, client: FlaskClient
) -> None:
    point_at(interface, receiver.url, automatic_retries=False)
    receiver.queue(answering(200), answering(204), answering(503), answering(404))
    supervisor = workers.start()
    wait_for_workers()
    leads = capture(interface, 4)
    wait_until(lambda: states(leads) == {DeliveryState.DELIVERED, DeliveryState.FAILED}, "the records")
    supervisor.terminate()
    assert supervisor.wait(timeout=60) == 0
    counts = attempts()
    assert {name: counts.get(name) for name in ("2xx", "http_4xx", "http_5xx")} == {
        "2xx": 2,
        "http_4xx": 1,
        "http_5xx": 1,
    }
    page = client.get("/metrics", headers={"Authorization": f"Bearer {METRICS_TOKEN}"}).text
    assert 'leadhook_attempts_total{result="2xx"} 2.0' in page
    assert "leadhook_attempt_duration_seconds_count 4.0" in page


def test_a_lead_submitted_while_valkey_is_down_is_delivered_within_10_s_of_its_return(
    interface: Interface, receiver: Receiver, workers: Workers, valkey: Valkey
) -> None:
    point_at(interface, receiver.url)
    workers.start()
    wait_for_workers()
    valkey.stop()
    lead = submit(interface)
    assert delivery_of(lead).state == DeliveryState.PENDING
    valkey.start()
    back_at = time.monotonic()
    receiver.wait_for(1, timeout=10)
    assert time.monotonic() - back_at < 10
    wait_for_workers()


@pytest.mark.once
def test_a_valkey_failure_during_a_job_is_logged_in_one_line(
    interface: Interface, receiver: Receiver, workers: Workers, valkey: Valkey, capfd: pytest.CaptureFixture[str]
) -> None:
    gone, said = threading.Event(), list[str]()

    def answer_then(line: Line) -> bool:
        gone.wait(30)
        return answering(200)(line)

    def printed() -> str:
        said.append("".join(capfd.readouterr()))
        return "".join(said)

    point_at(interface, receiver.url)
    receiver.queue(answer_then)
    workers.start()
    wait_for_workers()
    lead = submit(interface)
    receiver.wait_for(1)
    valkey.stop()
    gone.set()
    wait_until(lambda: "Redis cannot be used during a job" in printed(), "the line", timeout=30)
    # The job waited for rings when Redis went away; the lead was on a thread of its own, which records it.
    wait_until(lambda: delivery_of(lead).state == DeliveryState.DELIVERED, "the record")
    assert "Traceback" not in printed()
    valkey.start()
    wait_for_workers()


def test_after_flushall_leads_are_delivered_and_the_workers_register_again(
    interface: Interface, receiver: Receiver, workers: Workers
) -> None:
    point_at(interface, receiver.url)
    workers.start()
    wait_for_workers()
    queues.redis.flushall()
    submit(interface)
    receiver.wait_for(1)
    wait_for_workers()


def test_the_sweep_queues_jobs_that_a_flushall_deleted(
    interface: Interface, receiver: Receiver, workers: Workers
) -> None:
    point_at(interface, receiver.url)
    submit(interface)
    queues.redis.flushall()  # before any worker runs: the job is gone, the row is not
    workers.start()
    wait_for_workers()
    receiver.wait_for(1, timeout=30)


def test_on_sigterm_running_attempts_are_finished_and_recorded(
    interface: Interface, receiver: Receiver, workers: Workers
) -> None:
    point_at(interface, receiver.url, automatic_parallel=False)
    receiver.queue(answering(200, delay=1))
    process = workers.start()
    wait_for_workers()
    sent = [submit(interface) for _ in range(5)]
    receiver.wait_for(1)
    process.terminate()
    assert process.wait(timeout=20) == 0
    assert len(receiver.requests) == 1
    assert delivery_of(sent[0]).state == DeliveryState.DELIVERED
    assert db.session.get_one(Lane, interface.webhook.id).lease_until == 0
    db.session.rollback()
    workers.start()
    wait_for_workers()
    receiver.wait_for(5, timeout=30)
    assert len({request.headers["webhook-id"] for request in receiver.requests}) == 5


def test_a_killed_worker_process_is_started_again(interface: Interface, receiver: Receiver, workers: Workers) -> None:
    point_at(interface, receiver.url)
    workers.start()
    wait_for_workers()
    [fast] = fast_workers()
    assert fast.pid is not None
    os.kill(fast.pid, signal.SIGKILL)
    submit(interface)
    receiver.wait_for(1, timeout=30)


@pytest.mark.once
def test_the_processes_end_if_their_supervisor_is_killed(workers: Workers) -> None:
    process = workers.start()
    wait_for_workers()
    pids = [worker.pid for worker in Worker.all(connection=queues.redis)]
    process.kill()
    process.wait()
    wait_until(lambda: not any(_runs(pid) for pid in pids), "the children to end")


def _runs(pid: int | None) -> bool:
    try:
        os.kill(pid or 0, 0)
    except ProcessLookupError:
        return False
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"  # Z: ended, not yet reaped
    except FileNotFoundError:
        return False


def test_a_drain_that_stops_hands_the_rest_to_the_next_worker(
    interface: Interface, receiver: Receiver, workers: Workers
) -> None:
    go_on = threading.Event()

    def answer(line: Line) -> bool:
        if len(receiver.requests) == 10:
            go_on.wait(30)
        return answering(200)(line)

    point_at(interface, receiver.url, automatic_parallel=False)  # else others go on while the tenth takes long
    receiver.behave(answer)
    process = workers.start()
    wait_for_workers()
    sent = capture(interface, 40)
    receiver.wait_for(10)
    wait_until(lambda: not queues.redis.exists(rung_key), "the rings of all captures to be heard")
    process.terminate()
    wait_until(lambda: not serving() and len(processes_of(process)) == 1, "all but the one that sends to have ended")
    go_on.set()
    assert process.wait(timeout=20) == 0
    assert len(receiver.requests) == 10
    assert len(queues.get("fast").get_job_ids()) == 1
    workers.start()
    wait_for_workers()
    receiver.wait_for(40, timeout=30)
    wait_until(lambda: states(sent) == {DeliveryState.DELIVERED}, "the records")
    assert len({request.headers["webhook-id"] for request in receiver.requests}) == len(receiver.requests) == 40


def test_two_workers_share_a_backlog_and_send_each_lead_once(owner: User, receiver: Receiver, workers: Workers) -> None:
    """Each worker runs two jobs at a time, so four lanes are too many for one of them."""
    receiver.answer(delay=0.03)
    with transaction():
        made = [interfaces.create(owner.account_id, f"Number {number}") for number in range(4)]
    for interface in made:
        point_at(interface, f"{receiver.url}/{interface.public_id}")
    for _ in range(2):
        workers.start("--slots", "2")
    wait_until(lambda: len(fast_workers()) == 2, "two workers for the queue `fast`", timeout=60)
    sent = [lead for interface in made for lead in capture(interface, 60)]
    receiver.wait_for(240, timeout=60)
    wait_until(lambda: states(sent) == {DeliveryState.DELIVERED}, "the records")
    assert len({request.headers["webhook-id"] for request in receiver.requests}) == len(receiver.requests) == 240
    with read_autocommit() as connection:
        tries = connection.execute(select(func.count(), func.count(Attempt.delivery_id.distinct()))).one()
    assert tries == (240, 240)
    wait_until(lambda: [worker.successful_job_count > 0 for worker in fast_workers()] == [True, True], "jobs of both")


@pytest.mark.once
@pytest.mark.parametrize("valkey_is", ["dead", "hung"])
def test_on_sigterm_without_valkey_running_attempts_are_recorded_and_all_end_in_time(
    interface: Interface, receiver: Receiver, workers: Workers, valkey: Valkey, valkey_is: str
) -> None:
    go_on = threading.Event()

    def answer(line: Line) -> bool:
        go_on.wait(30)
        return answering(200)(line)

    point_at(interface, receiver.url)
    receiver.behave(answer)
    workers.environ["WEBHOOK_DEADLINE"] = "1"
    process = workers.start()
    wait_for_workers()
    running = processes_of(process)
    lead = submit(interface)
    receiver.wait_for(1)
    assert valkey.process
    if valkey_is == "dead":
        valkey.stop()
    else:
        os.kill(valkey.process.pid, signal.SIGSTOP)
    try:
        process.terminate()
        wait_until(lambda: processes_of(process) < running, "the sweeper to end, so that all have been told")
        go_on.set()
        assert process.wait(timeout=1 + 5) == 0
        wait_until(lambda: not any(_runs(pid) for pid in running), "the processes to be gone", timeout=2)
    finally:
        if valkey.process:
            os.kill(valkey.process.pid, signal.SIGCONT)
    assert len(delivery_of(lead).attempts) == 1
    assert db.session.scalars(select(Lane.token)).one() is None
