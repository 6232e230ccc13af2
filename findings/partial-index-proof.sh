#!/usr/bin/env bash
# SQLite and PostgreSQL use a partial index for different wordings of one query, and each loses where the other wins.
#
# One expects: SQLite and PostgreSQL agree on when a query may use an index "WHERE state = 'pending'". Many also
#   believe that SQLite needs the condition as a literal, so that a bound value (state = ?) loses the index.
# What happens: SQLite compares words, but it looks at the bound value: state = ? with 'pending' uses the index.
#   It does not reason: state IN (?) with the same one value, tries = 1 and tries >= 1 (index: tries > 0) read all rows.
#   PostgreSQL reasons and uses the index for all of these, but it needs to know the value: under a generic plan of a
#   prepared statement, state = $1 reads all rows.
# Versions: SQLite 3.51.1 (PyPI pysqlite3-binary 0.5.4.post2) by SQLAlchemy 2.1.9; PostgreSQL 18.7 (npm
#   @electric-sql/pglite 0.5.17).
# Seen: the table below. SQLite's part counts the steps of its virtual machine while the query runs, it does not only
#   ask for the plan. The answers are equal, only the work differs.
# Why it matters: "which deliveries are due" is asked all day against a table that is nearly all finished rows. In
#   SQLAlchemy, .in_(["pending"]) instead of == "pending" is enough to lose the index on SQLite. Tests on PostgreSQL
#   do not show it, tests on SQLite do not show the opposite.
#
# Needs python3 and node.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check SQLAlchemy==2.1.9 pysqlite3-binary==0.5.4.post2
npm install --silent --no-audit --no-fund @electric-sql/pglite@0.5.17 >npm.log

cat >look.py <<'PY'
import pysqlite3
from sqlalchemy import Column, Index, Integer, MetaData, Table, Text, create_engine, insert, select, text

ROWS = 20_000
deliveries = Table(
    "deliveries",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("state", Text),
    Column("tries", Integer),
    Column("due", Integer),
)
Index("waiting", deliveries.c.due, sqlite_where=text("state = 'pending'"))
Index("again", deliveries.c.due, sqlite_where=text("tries > 0"))

engine = create_engine("sqlite://", module=pysqlite3)
deliveries.metadata.create_all(engine)
state, tries = deliveries.c.state, deliveries.c.tries
conditions = {
    "state = 'pending'": text("state = 'pending'"),
    "state = ?": state == "pending",
    "state IN (?)": state.in_(["pending"]),
    "tries > ?": tries > 0,
    "tries >= ?": tries >= 1,
    "tries = ?": tries == 1,
}

with engine.begin() as connection:
    done, pending = {"state": "done", "tries": 0}, {"state": "pending", "tries": 1}
    rows = [(done if n % 5000 else pending) | {"due": n} for n in range(1, ROWS + 1)]
    connection.execute(insert(deliveries), rows)
    driver = connection.connection.dbapi_connection
    for name, condition in conditions.items():
        query = select(deliveries.c.id).where(condition, deliveries.c.due < 10**6)
        steps = []
        driver.set_progress_handler(lambda: steps.append(1), 1)
        found = connection.execute(query).all()
        driver.set_progress_handler(None, 0)
        print(f"SQLite      {name:18} {len(found)} found,", "reads all rows" if len(steps) > ROWS else "uses the index")
PY

cat >look.mjs <<'JS'
import { PGlite } from "@electric-sql/pglite";

const database = new PGlite();
await database.exec(`
  CREATE TABLE deliveries (id integer PRIMARY KEY, state text, tries integer, due integer);
  CREATE INDEX waiting ON deliveries (due) WHERE state = 'pending';
  CREATE INDEX again ON deliveries (due) WHERE tries > 0;
  INSERT INTO deliveries
    SELECT n, CASE WHEN n % 5000 = 0 THEN 'pending' ELSE 'done' END, CASE WHEN n % 5000 = 0 THEN 1 ELSE 0 END, n
    FROM generate_series(1, 20000) n;
  ANALYZE deliveries;`);

async function tell(name, query) {
  const plan = (await database.query(`EXPLAIN ${query}`)).rows.map((row) => row["QUERY PLAN"]).join("\n");
  console.log(`PostgreSQL  ${name.padEnd(18)}`, plan.includes("Seq Scan") ? "reads all rows" : "uses the index");
}

for (const condition of ["state = 'pending'", "state IN ('pending')", "tries >= 1", "tries = 1"]) {
  await tell(condition, `SELECT id FROM deliveries WHERE ${condition} AND due < 1000000`);
}
for (const kind of ["custom", "generic"]) {
  await database.exec(`SET plan_cache_mode = force_${kind}_plan;
    PREPARE due(text) AS SELECT id FROM deliveries WHERE state = $1 AND due < 1000000;`);
  await tell(`state = $1 ${kind}`, "EXECUTE due('pending')");
  await database.exec("DEALLOCATE due");
}
await database.close();
JS

cat >expected <<'TXT'
SQLite      state = 'pending'  4 found, uses the index
SQLite      state = ?          4 found, uses the index
SQLite      state IN (?)       4 found, reads all rows
SQLite      tries > ?          4 found, uses the index
SQLite      tries >= ?         4 found, reads all rows
SQLite      tries = ?          4 found, reads all rows
PostgreSQL  state = 'pending'  uses the index
PostgreSQL  state IN ('pending') uses the index
PostgreSQL  tries >= 1         uses the index
PostgreSQL  tries = 1          uses the index
PostgreSQL  state = $1 custom  uses the index
PostgreSQL  state = $1 generic reads all rows
TXT

{ venv/bin/python look.py && node look.mjs; } | tee seen
diff expected seen
echo "As stated."
