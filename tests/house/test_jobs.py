"""Every job is small and takes ids only; only worker.py's queues are used, and only by the engine."""

import ast
import inspect
import sys
from collections.abc import Callable

import pytest

import worker
from tests.support.tree import ROOT, TREE, Tree, name_of
from webapp import jobs
from webapp.delivery import rings

MODULE = "webapp/jobs.py"
# Calls that name a queue, and which of their arguments does.
NAMES_A_QUEUE = {"queues.get": 0, "Queue": 0, "OneQueue": 0, "_Queue": 0, "enqueue": 1, "_ring": 1, "_ring_again": 1}


def a_job_is_short_and_takes_ids_only(tree: Tree) -> list[str]:
    faults = []
    for job in _jobs(tree):
        kinds = {ast.unparse(each.annotation) if each.annotation else "" for each in job.args.args}
        if not kinds <= {"int", "str"} or job.args.vararg or job.args.kwarg or job.args.kwonlyargs:
            faults.append(f"{job.name} takes more than ids")
        if (job.end_lineno or 0) - job.lineno + 1 > 10:
            faults.append(f"{job.name} is longer than ten lines")
        if not ast.get_docstring(job):
            faults.append(f"{job.name} says nothing")
    return faults


def _jobs(tree: Tree) -> list[ast.FunctionDef]:
    return [node for node in tree.parsed(ROOT / MODULE).body if isinstance(node, ast.FunctionDef)]


def the_jobs_that_are_enqueued_exist(tree: Tree) -> list[str]:
    known = {f"webapp.jobs.{job.name}" for job in _jobs(tree)}
    named = {
        node.value
        for path in tree.python_files("webapp", "worker.py")
        for node in tree.nodes(path)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("webapp.jobs.")
    }
    return [f"{name} is enqueued and does not exist" for name in named - known] + [
        f"{name} exists and is never enqueued" for name in known - named
    ]


def queues_are_named_by_their_constants(tree: Tree) -> list[str]:
    """A queue that is spelled out could be one that no worker serves."""
    faults = []
    for path in tree.python_files("webapp", "worker.py"):
        for call in (node for node in tree.nodes(path) if isinstance(node, ast.Call)):
            written = ast.unparse(call.func)
            place = next((place for name, place in NAMES_A_QUEUE.items() if _is_name(written, name)), None)
            given = [word.value for word in call.keywords if word.arg in ("queue", "name", "queue_name")]
            if place is not None and len(call.args) > place:
                given.append(call.args[place])
            if place is not None and any(isinstance(value, ast.Constant) for value in given):
                faults.append(f"{name_of(path)}:{call.lineno} names a queue")
    return faults


def _is_name(written: str, name: str) -> bool:
    return written == name or written.endswith(f".{name}")


def jobs_are_enqueued_in_one_place(tree: Tree) -> list[str]:
    """Elsewhere a job would have no marker, or an id that the sweep does not know."""
    return [
        f"{name_of(path)}:{call.lineno} enqueues"
        for path in tree.python_files("webapp", "worker.py")
        if name_of(path) != "webapp.delivery.rings"
        for call in tree.nodes(path)
        if isinstance(call, ast.Attribute) and call.attr in ("enqueue", "enqueue_call", "enqueue_many", "enqueue_in")
        if ast.unparse(call.value) != "rings"
    ]


LANES = "webapp/delivery/lanes.py"
PLANTED: list[tuple[Callable[[Tree], list[str]], str, str]] = [
    (a_job_is_short_and_takes_ids_only, MODULE, 'def late(lead: "Lead") -> None:\n    """Late."""'),
    (a_job_is_short_and_takes_ids_only, MODULE, "def late() -> None:\n    pass"),
    (a_job_is_short_and_takes_ids_only, MODULE, 'def late() -> None:\n    """Late."""' + "\n    pass" * 10),
    (the_jobs_that_are_enqueued_exist, LANES, 'NAME = "webapp.jobs.drian"'),
    (the_jobs_that_are_enqueued_exist, MODULE, 'def unused() -> None:\n    """Unused."""'),
    (queues_are_named_by_their_constants, LANES, 'queues.get("fast").enqueue'),
    (queues_are_named_by_their_constants, LANES, 'rings.queues.get("fast")'),
    (queues_are_named_by_their_constants, "worker.py", 'Queue("fast")'),
    (queues_are_named_by_their_constants, LANES, 'rings.enqueue("1", "quick", "webapp.jobs.drain", 1)'),
    (queues_are_named_by_their_constants, LANES, 'rings.enqueue("1", queue="quick", job="webapp.jobs.drain")'),
    (jobs_are_enqueued_in_one_place, LANES, 'queues.get("fast").enqueue'),
    (jobs_are_enqueued_in_one_place, "webapp/services/leads/leads.py", "queue.enqueue_call(drain)"),
]
CHECKS = list(dict.fromkeys(check for check, _, _ in PLANTED))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_house_is_in_order(check: Callable[[Tree], list[str]]) -> None:
    assert check(TREE) == []


@pytest.mark.parametrize(("check", "file", "line"), PLANTED, ids=lambda value: getattr(value, "__name__", str(value)))
def test_a_planted_violation_is_found(check: Callable[[Tree], list[str]], file: str, line: str) -> None:
    assert check(TREE.with_line(file, line))


def test_the_jobs_are_those_of_the_module() -> None:
    names = {name for name, job in vars(jobs).items() if inspect.isfunction(job) and job.__module__ == "webapp.jobs"}
    assert names == {job.name for job in _jobs(TREE)}


def test_worker_serves_every_queue_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["worker.py"])
    assert worker._arguments().queues == rings.NAMES


def test_every_job_without_a_lane_is_in_a_queue_that_is_served() -> None:
    assert {queue for queue, _ in rings.JOBS.values()} <= set(rings.NAMES)
    assert all(not name.isdigit() and "-" not in name for name in rings.JOBS), "a number is the name of a lane"


def test_every_queue_with_a_constant_is_listed() -> None:
    names = {value for name, value in vars(rings).items() if name.isupper() and isinstance(value, str)}
    assert names == set(rings.NAMES)
