"""Every job is small and takes ids only; every queue is served by worker.py."""

import ast
import inspect
import re
import sys

import pytest

import worker
from tests.support.tree import ROOT, python_files
from webapp import jobs
from webapp.delivery import queues

JOBS = [job for job in vars(jobs).values() if inspect.isfunction(job) and job.__module__ == "webapp.jobs"]
CODE = "\n".join(path.read_text() for path in [*python_files("webapp"), ROOT / "worker.py"])


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.__name__)
def test_a_job_is_ten_lines_at_most_and_takes_ids_only(job: object) -> None:
    assert inspect.isfunction(job)
    assert len(inspect.getsource(job).splitlines()) <= 10
    assert {parameter.annotation for parameter in inspect.signature(job).parameters.values()} <= {int, str}
    assert job.__doc__


def test_the_jobs_that_are_enqueued_are_those_that_exist() -> None:
    enqueued = set(re.findall(r'"webapp\.jobs\.(\w+)"', CODE))
    assert enqueued == {job.__name__ for job in JOBS}


def test_worker_serves_every_queue_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["worker.py"])
    assert worker._arguments().queues == queues.NAMES


def test_every_queue_there_is_a_name_for_is_listed() -> None:
    names = {value for name, value in vars(queues).items() if name.isupper() and isinstance(value, str)}
    assert names == set(queues.NAMES)


def test_queues_are_named_by_their_constants_only() -> None:
    """A queue spelled out elsewhere could be one that nobody serves."""
    spelled = [
        f"{path.name}:{node.lineno}"
        for path in [*python_files("webapp/delivery", "webapp/services"), ROOT / "worker.py"]
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).endswith((".get", "enqueue", "Queue", "_ring"))
        and "queue" in ast.unparse(node.func).lower() + "enqueue"
        for argument in node.args
        if isinstance(argument, ast.Constant) and argument.value in queues.NAMES and "Queue" in ast.unparse(node.func)
    ]
    assert spelled == []
