"""What the product imports is declared, and what overrides RQ's internals is pinned to the releases it was tried on."""

import re
import sys
import tomllib

from tests.support.tree import ROOT, TREE, Tree

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
# Packages whose import name is not their own.
IMPORTED_AS = {
    "argon2-cffi": "argon2",
    "backports-zstd": "backports",
    "charset-normalizer": "charset_normalizer",
    "dnspython": "dns",
    "email-validator": "email_validator",
    "flask-sqlalchemy": "flask_sqlalchemy",
    "flask-migrate": "flask_migrate",
    "flask-wtf": "flask_wtf",
    "flask-login": "flask_login",
    "flask-mail": "flask_mail",
    "flask-limiter": "flask_limiter",
    "prometheus-client": "prometheus_client",
    "psycopg[binary]": "psycopg",
    "python-dotenv": "dotenv",
    "rq-dashboard": "rq_dashboard",
}
# Parts of Flask, which requires them itself and documents their use.
OF_FLASK = {"click", "itsdangerous", "jinja2", "markupsafe", "werkzeug"}
OF_NEWER_PYTHONS = {"compression"}  # 3.14


def undeclared(tree: Tree) -> list[str]:
    """What webapp/ and worker.py import and pyproject.toml does not declare."""
    names = [re.split(r"[~<>=;\s]", requirement)[0] for requirement in PROJECT["project"]["dependencies"]]
    known = {IMPORTED_AS.get(name, name) for name in names} | {"webapp", "worker"} | sys.stdlib_module_names
    known |= OF_FLASK | OF_NEWER_PYTHONS
    return sorted(
        {
            f"{path.name} imports {found.module}"
            for path in tree.python_files("webapp", "worker.py", "gunicorn.conf.py")
            if "templates" not in path.parts  # samples for receivers
            for found in tree.imports(path)
            if found.module.split(".")[0] not in known
        }
    )


def test_every_package_that_is_imported_is_declared() -> None:
    assert undeclared(TREE) == []


def test_a_package_that_is_not_declared_is_found() -> None:
    assert undeclared(TREE.with_line("webapp/clock.py", "import dateutil.parser"))


def test_rq_is_pinned_to_its_patch_series() -> None:
    """threaded_worker.py overrides 14 methods of RQ's worker, which a minor release may change."""
    [rq] = [each for each in PROJECT["project"]["dependencies"] if re.match(r"rq\b(?!-)", each)]
    assert re.fullmatch(r"rq~=\d+\.\d+\.\d+", rq)
