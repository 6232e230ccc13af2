#!/bin/sh
# Runs what takes long: real proxies and servers, then faults under load. As root, it installs these with apt. If it
# cannot, it says which tests are left out and what to install; with CI=true that is a failure.
set -eu
cd "$(dirname "$0")/.."
PATH="$PATH:${SBIN-/usr/sbin:/sbin}" # where Debian puts servers

program() {
  case $1 in
    apache2-bin) echo apache2 ;;
    prometheus) echo promtool ;;
    *) echo "$1" ;;
  esac
}

missing() {
  for package in nginx apache2-bin haproxy caddy pgbouncer prometheus; do
    command -v "$(program "$package")" >/dev/null || printf '%s ' "$package"
  done
}

# One by one, so that one package that this system does not have keeps no other away. None is started as a service:
# the tests run the programs themselves, on ports of their own.
install() {
  policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT INT TERM
    printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy"
  fi
  export DEBIAN_FRONTEND=noninteractive
  apt-get -qq update >/dev/null || echo "apt-get failed." >&2
  for package in "$@"; do
    apt-get -qq install -y --no-install-recommends "$package" >/dev/null || echo "apt-get cannot install $package." >&2
  done
}

wanted=$(missing)
if [ -n "$wanted" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "Installing with apt, for the tests: $wanted"
  # shellcheck disable=SC2086  # a list of packages
  (install $wanted)
fi

left_out=$(missing)
for package in $left_out; do
  case $package in
    prometheus) echo "Left out: the checks of alert rules, dashboard and metrics. Install promtool to run them." ;;
    pgbouncer) echo "Left out: the tests behind PgBouncer. Install PgBouncer to run them." ;;
    *) echo "Left out: the tests behind $(program "$package"). Install it to run them." ;;
  esac
done
if [ -n "$left_out" ]; then
  echo "On Debian or Ubuntu: apt install $left_out"
  [ "${CI:-}" != true ] || { echo "In CI no test may be left out." >&2 && exit 1; }
fi

export FUZZ_SECONDS=600
SOAK=1 .venv/bin/pytest tests/soak tests/model/test_rounds.py tests/blueprints/api/test_fuzzing.py
if command -v postgres >/dev/null || ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1; then
  SOAK=1 LEADHOOK_TEST_DATABASE=postgresql .venv/bin/pytest tests/soak/test_previous_version.py tests/soak/test_every_request.py \
    tests/blueprints/api/test_fuzzing.py
fi
.venv/bin/python -m tests.fault "$@"
