#!/bin/sh
# Installs the packages of the given lock files into .venv. Does nothing if they are installed already.
#   sh scripts/install.sh requirements.txt [requirements-test.txt]
#   FOLDER=mcp1 sh scripts/install.sh requirements-mcp1.txt   into .venv/mcp1, for what cannot be beside the others
# PYTHON chooses the interpreter. An error is reported in one sentence; pip's own output is in .venv/install.log.
set -eu
cd "$(dirname "$0")/.."

stop() {
  printf '%s\n' "$1" >&2
  exit 1
}

# Finds the first interpreter that is new enough and can create virtual environments.
find_python() {
  found=old
  for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11 python}; do
    "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 || continue
    found=bare
    "$candidate" -c 'import venv, ensurepip' >/dev/null 2>&1 || continue
    found=yes python=$candidate
    return
  done
}

is_ours() { # .venv was created in this directory (its scripts contain their path), and its interpreter still runs
  [ "$(cat .venv/made-in 2>/dev/null)" = "$PWD" ] && .venv/bin/python -c '' >/dev/null 2>&1
}

# The pip of the interpreter that .venv was made from installs into .venv. A copy of its own takes as long to make as a
# quarter of the packages; it is made where that pip is missing or older than 22.3.
pip_install() {
  base=$(.venv/bin/python -c 'import sys; print(sys._base_executable)')
  "$base" -c 'import pip, sys; sys.exit([int(n) for n in pip.__version__.split(".")[:2]] < [22, 3])' 2>/dev/null || {
    base=
    .venv/bin/python -I -c 'import pip' 2>/dev/null || .venv/bin/python -m ensurepip >/dev/null
  }
  PIP_USER=0 "${base:-.venv/bin/python}" -m pip ${base:+--python .venv/bin/python} install "$@"
}

# pip would compile on one processor, and the cities of all phone numbers: half of everything. What is left
# out, or cannot be compiled, is compiled when it is imported.
compile() {
  unused='/phonenumbers/(geodata|carrierdata)/|/sqlalchemy/(testing|dialects/(mssql|mysql|oracle))/'
  .venv/bin/python -m compileall -q -j 0 -x "$unused" .venv/lib webapp worker.py >/dev/null 2>&1 || true
}

is_installed() {
  for lock in "$@"; do
    cmp -s "$lock" ".venv/$lock" || return 1
  done
}

if ! is_ours; then
  find_python
  case $found in
    old) stop "Leadhook needs Python 3.11 or newer: install it, or give its path, as in 'make run PYTHON=/opt/python3.12/bin/python3'." ;;
    bare) stop "This Python cannot make virtual environments: install its venv module ('apt install python3-venv' on Debian and Ubuntu) and run make again." ;;
  esac
  rm -rf .venv
  "$python" -m venv --without-pip .venv >&2 || stop "The virtual environment .venv could not be created: see the error above, then run make again."
  printf '%s\n' "$PWD" > .venv/made-in
fi

is_installed "$@" && exit 0
into=
if [ -n "${FOLDER:-}" ]; then
  into="--target .venv/$FOLDER --upgrade --no-deps"
else
  echo "Installing the Python packages into .venv. The first time, this takes about a minute." >&2
fi
locks=
for lock in "$@"; do
  rm -f ".venv/$lock"
  locks="$locks --requirement $lock"
done
# shellcheck disable=SC2086  # $into and $locks must be split into options
pip_install --no-input --disable-pip-version-check --progress-bar off --no-compile --require-hashes \
  $into $locks >.venv/install.log 2>&1 || {  # pip's own --log costs a third more
  grep -i '^ERROR' .venv/install.log | head -n 3 >&2 || true
  stop "The Python packages could not be installed: check that this machine can reach its package index, then run make again (details: .venv/install.log)."
}
[ -n "$into" ] || compile
for lock in "$@"; do
  cp "$lock" ".venv/$lock"
done
