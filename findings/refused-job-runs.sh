#!/usr/bin/env bash
# ThreadPoolExecutor: a job whose submit() raised may be performed all the same.
#
# One expects: submit() raises, so the job was not taken, and the caller may try it another way.
# What happens: where the system has no thread left, submit() raises RuntimeError("can't start new thread"). The job is
#   in the pool's queue by then. A thread that the pool has already performs it as soon as it is free. Its Future is lost.
# Versions: Python 3.11.7; seen the same with 3.12.1 and 3.13.0.
# Seen: the three lines below.
# Why it matters: who hands the job to somebody else then has it done twice, for example a message sent twice.
#
# Needs python3 on Linux, and no packages: it is the standard library. A limit on the memory of the process stands for a
# system without threads.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

cat >look.py <<'PY'
import resource
import threading
from concurrent.futures import ThreadPoolExecutor

GO_ON, DONE = threading.Event(), []
pool = ThreadPoolExecutor(max_workers=2)
pool.submit(GO_ON.wait)  # the first thread is busy

threading.stack_size(1 << 30)  # from here on there is no room for the stack of another thread
with open("/proc/self/statm") as statm:
    used = int(statm.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 29), resource.RLIM_INFINITY))
try:
    pool.submit(DONE.append, "done")
except RuntimeError as error:
    print("submit() raised:", error)
print("while the thread is busy:", DONE)
GO_ON.set()
pool.shutdown(wait=True)
print("afterwards:", DONE)
PY

cat >expected <<'TXT'
submit() raised: can't start new thread
while the thread is busy: []
afterwards: ['done']
TXT

python3 look.py | tee seen
diff expected seen
echo "As stated."
