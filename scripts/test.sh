#!/bin/sh
# Runs all checks and all tests, as CI does. As root, it installs what the tests need besides Python with apt. If it
# cannot, it says which tests are left out and what to install; with CI=true that is a failure.
set -eu
cd "$(dirname "$0")/.."

have() {
  case $1 in
    postgresql) command -v postgres >/dev/null || ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 ;;
    chromium) command -v chromium >/dev/null ;;
    fonts-liberation) ls /usr/share/fonts/truetype/liberation*/*.ttf >/dev/null 2>&1 ;;
    nodejs) command -v node >/dev/null ;;
    npm) command -v npm >/dev/null ;;
    php-cli) command -v php >/dev/null ;;
    busybox | jq) command -v "$1" >/dev/null ;;
    nginx) command -v nginx >/dev/null || [ -x /usr/sbin/nginx ] ;;
    openssl) command -v openssl >/dev/null ;;
    pgbouncer) command -v pgbouncer >/dev/null || [ -x /usr/sbin/pgbouncer ] ;;
  esac
}

missing() {
  for package in postgresql chromium fonts-liberation nodejs npm php-cli busybox jq pgbouncer nginx openssl; do
    have "$package" || printf '%s ' "$package"
  done
}

wanted=$(missing)
if [ -n "$wanted" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "Installing with apt, for the tests: $wanted"
  export DEBIAN_FRONTEND=noninteractive
  # shellcheck disable=SC2086  # a list of packages
  { apt-get -qq update && apt-get -qq install -y --no-install-recommends $wanted; } >/dev/null || echo "apt-get failed." >&2
fi
# The browser tests need a third less time in it. Where it cannot be had, as on Ubuntu, they run in Chromium.
if ! command -v chromium-headless-shell >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  shell() { apt-get -qq install -y --no-install-recommends --no-remove chromium-headless-shell >/dev/null 2>&1; }
  shell || { apt-get -qq update && shell; } >/dev/null 2>&1 || true
fi

left_out=$(missing)
start_at=$(date +%s)
set --
for package in $left_out; do
  case $package in
    postgresql) echo "Left out: every test on PostgreSQL. Install PostgreSQL to run them." ;;
    chromium) echo "Left out: the tests in a browser. Install Chromium to run them." && set -- "$@" --ignore=tests/browser ;;
    nodejs) echo "Left out: the tests of the Node.js receiver. Install Node.js to run them." ;;
    npm) echo "Left out: the tests of the receivers in Express and Fastify. Install npm to run them." ;;
    busybox | jq) echo "Left out: the tests of the shell receiver. Install $package to run them." ;;
    nginx | openssl) echo "Left out: the tests with $package as a receiver. Install it to run them." ;;
    pgbouncer) echo "Left out: the tests behind PgBouncer. Install PgBouncer to run them." ;;
    php-cli) echo "Left out: the tests of the PHP receiver. Install PHP (command line) to run them." ;;
    fonts-liberation) echo "Without the Liberation fonts, screenshots look different; no test is left out." ;;
  esac
done
if [ -n "$left_out" ]; then
  echo "On Debian or Ubuntu: apt install $left_out"
  [ "${CI:-}" != true ] || { echo "In CI no test may be left out." >&2 && exit 1; }
fi

# Express and Fastify, for two of the sample receivers; again when their lock has changed. It gets its name when npm is done.
node_packages() {
  cmp -s tests/receivers/node/package-lock.json .venv/node/package-lock.json && return
  rm -rf .venv/node && mkdir .venv/node && cp tests/receivers/node/package.json .venv/node &&
    cp tests/receivers/node/package-lock.json .venv/node/npm-shrinkwrap.json &&
    (cd .venv/node && npm ci --silent --no-audit --no-fund --ignore-scripts) &&
    mv .venv/node/npm-shrinkwrap.json .venv/node/package-lock.json
}
if have npm && ! node_packages; then
  echo "npm could not install Express and Fastify: their tests are left out." >&2
  [ "${CI:-}" != true ] || exit 1
fi
# A third of the time a test waits, for servers and for seconds to pass: three processes keep two processors busy.
processes=3

# The first process that reads a test file keeps its compiled form for the others, while mypy has the other processor.
unset PYTHONDONTWRITEBYTECODE
.venv/bin/pytest --collect-only -qqq "$@" >/dev/null 2>&1 &
compiling=$!
make check
wait "$compiling" || true # what is wrong, pytest says now
.venv/bin/pytest -n $processes --dist worksteal "$@"
if have postgresql; then
  echo "Running the tests that use the database again, on PostgreSQL."
  LEADHOOK_TEST_DATABASE=postgresql .venv/bin/pytest -n $processes --dist worksteal -m 'not once' tests/delivery tests/services tests/blueprints tests/journeys \
    tests/fault/test_faults.py tests/model/test_properties.py tests/house/test_migrations.py tests/db/test_transactions.py \
    tests/db/test_ending.py tests/db/test_slow_reads.py tests/db/test_migrating.py tests/db/test_engines.py tests/db/test_plain.py tests/db/test_plain_reads.py --ignore=tests/journeys/test_run.py # test_run.py is always SQLite
fi
echo "Everything took $(($(date +%s) - start_at)) seconds."
