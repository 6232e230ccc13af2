#!/usr/bin/env bash
# A prepared statement reads a whole table although it has the ids: its plan was made while the table was small.
#
# One expects: an update of rows by their primary key uses its index. While a table is small it may be read whole, and
#   once it is large PostgreSQL plans anew.
# What happens: with the default settings, from the sixth execution on the plan of a prepared statement is kept. It is
#   not made anew because the table has grown, only after ANALYZE or a change of the schema. Autovacuum analyzes at most
#   once a minute, and only tables that changed much. Until then each execution reads all rows. The planner itself needs no
#   ANALYZE: the same statement, prepared again in the same second, uses the index, for the planner asks how long the
#   file is. With the ids as an array (= ANY) beside the join, the plan that is made for the small table uses the index.
# Versions: PostgreSQL 18.7 (npm @electric-sql/pglite 0.5.17).
# Seen: the table below; rows as EXPLAIN ANALYZE counts them.
# Why it matters: drivers prepare by themselves what is sent several times (psycopg after five, JDBC after five). A program
#   that is installed, and gets its first thousands of rows in its first minute, becomes slower with each row. A test on a
#   table that was filled first does not show it, nor does EXPLAIN by hand.
#
# Needs node.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

npm install --silent --no-audit --no-fund @electric-sql/pglite@0.5.17 >npm.log

cat >look.mjs <<'JS'
import { PGlite } from "@electric-sql/pglite";

const database = new PGlite();
await database.exec(`
  CREATE TABLE deliveries (id integer PRIMARY KEY, state text);
  INSERT INTO deliveries SELECT n, 'pending' FROM generate_series(1, 10) n;`);

const given = `'[{"id": 3, "state": "done"}, {"id": 7, "state": "done"}]'`;
const update = `UPDATE deliveries SET state = given.state
  FROM json_to_recordset($1::json) AS given(id integer, state text) WHERE deliveries.id = given.id`;

async function tell(words, name, values) {
  const found = await database.query(`EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) EXECUTE ${name}(${values})`);
  const lines = found.rows.map((row) => row["QUERY PLAN"]);
  const scan = lines.find((line) => line.includes("Seq Scan on deliveries"));
  const rows = scan && Math.round(Number(/rows=([\d.]+)/.exec(scan)[1]));
  console.log(words.padEnd(44), scan ? `reads ${rows} rows` : "uses the index");
}

await database.exec(`PREPARE moved(json) AS ${update}`);
await database.exec(`PREPARE named(json, integer[]) AS ${update} AND deliveries.id = ANY($2)`);
for (let number = 0; number < 6; number++) {
  await database.exec(`EXECUTE moved(${given}); EXECUTE named(${given}, '{3,7}')`);
}
await tell("10 rows", "moved", given);
await database.exec("INSERT INTO deliveries SELECT n, 'pending' FROM generate_series(11, 50000) n");
await tell("50,000 rows", "moved", given);
await tell("50,000 rows, ids as an array, too", "named", `${given}, '{3,7}'`);
await database.exec(`PREPARE again(json) AS ${update}`);
for (let number = 0; number < 6; number++) await database.exec(`EXECUTE again(${given})`);
await tell("50,000 rows, prepared now", "again", given);
await database.exec("ANALYZE deliveries");
await tell("50,000 rows, after ANALYZE", "moved", given);
await database.close();
JS

cat >expected <<'TXT'
10 rows                                      reads 10 rows
50,000 rows                                  reads 50000 rows
50,000 rows, ids as an array, too            uses the index
50,000 rows, prepared now                    uses the index
50,000 rows, after ANALYZE                   uses the index
TXT

node look.mjs | tee seen
diff expected seen
echo "As stated."
