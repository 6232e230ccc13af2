"""The recipes are followed by a machine: each is applied to a copy of webapp/, and what it promises is tried there.

Also checks that every path, module and function named in the recipes and in docs/how-it-works.md exists.
"""

import ast
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from functools import cache
from html import unescape
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from flask import Flask
from flask_migrate import downgrade, upgrade
from joserfc import jwt
from joserfc.jwk import OctKey
from sqlalchemy.exc import IntegrityError

from tests.conftest import KEYS, PASSWORD, Browser
from tests.house import test_choices, test_figures, test_jobs, test_layers
from tests.house.test_walk import FROM_POST_TO_ROW, FROM_ROW_TO_RECEIVER
from tests.support import webhook_pages
from tests.support.factories import ADA, delivery_of, point_at, submit
from tests.support.people import as_user, join
from tests.support.postgres import Postgres
from tests.support.receiver import Receiver
from tests.support.tree import ROOT, TREE, Tree
from tests.support.valkey import Valkey
from tests.support.webhook_pages import error_at, save, stored_secrets
from webapp import create_app
from webapp.clock import moment
from webapp.config import Config
from webapp.db.transactions import disconnect, transaction
from webapp.delivery import lanes
from webapp.delivery.rings import MAIL, queues
from webapp.delivery.sweep import Sweep
from webapp.extensions import db
from webapp.models import Base, DeliveryState, FieldType, Interface, Lead, PasswordReset, Role, Status, User, Webhook
from webapp.services.interfaces import fields, interfaces
from webapp.services.people import users
from webapp.services.webhooks import from_shell
from webapp.services.webhooks.from_shell import Options
from webapp.webhooks import examinations

FOLDER = ROOT / "docs" / "recipes"
HOW_IT_WORKS = ROOT / "docs" / "how-it-works.md"
RECIPES = sorted(path.stem for path in FOLDER.glob("add-*.md"))
DOCUMENTS = [HOW_IT_WORKS, FOLDER / "README.md", *(FOLDER / f"{name}.md" for name in RECIPES)]
VERSIONS = "webapp/migrations/versions"


# How a recipe is read and applied ------------------------------------------------------------------------------------


class Block(NamedTuple):
    """A code block. `path` and `mark` are from its first line: `# webapp/jobs.py (at the end)`."""

    language: str
    path: str
    mark: str
    code: str


_FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FIRST_LINE = re.compile(r"(?:#|\{#) ([\w./-]+\.\w+)(?: \((new|at the end)\))?(?: #\})?\n")


def blocks(text: str) -> list[Block]:
    found = []
    for language, code in _FENCED.findall(text):
        named = _FIRST_LINE.match(code)
        path, mark = (named[1], named[2] or "") if named else ("", "")
        found.append(Block(language, path, mark, code[named.end() :] if named else code))
    return found


def recipe(name: str) -> str:
    return (FOLDER / f"{name}.md").read_text()


class CannotApply(Exception):
    """A recipe does not fit the code any more."""


def applied(text: str, files: dict[str, str] | None = None) -> dict[str, str]:
    """The files that differ once a recipe is applied, by path; `files` are those that recipes before it changed."""
    files = dict(files or {})
    for block in blocks(text):
        if not block.path:
            continue
        path, code = _numbered(block.path, files), _numbered(block.code, files)
        if block.mark == "new":
            files[path] = code
            continue
        before = files[path] if path in files else (ROOT / path).read_text()
        files[path] = f"{before.rstrip()}\n\n\n{code}" if block.mark else _patched(path, before, code)
    return files


def _numbered(text: str, files: dict[str, str]) -> str:
    """The text with the numbers of the next migration and of the newest one filled in."""
    paths = {*files, *(path.relative_to(ROOT).as_posix() for path in (ROOT / VERSIONS).glob("*.py"))}
    newest = max(int(Path(path).name[:4]) for path in paths if path.startswith(VERSIONS))
    return text.replace("NNNN", f"{newest + 1:04}").replace("MMMM", f"{newest:04}")


def _patched(path: str, before: str, diff: str) -> str:
    lines = diff.splitlines()
    old = "\n".join(line[1:] for line in lines if not line.startswith("+"))
    new = "\n".join(line[1:] for line in lines if not line.startswith("-"))
    if f"\n{before}".count(f"\n{old}\n") != 1:
        raise CannotApply(f"{path} does not have these lines, or has them twice:\n{old}")
    return f"\n{before}".replace(f"\n{old}\n", f"\n{new}\n")[1:]


@cache
def all_applied() -> dict[str, str]:
    """The files that differ once all recipes are applied, one after the other."""
    files: dict[str, str] = {}
    for name in RECIPES:
        files = applied(recipe(name), files)
    return files


def tree_with(files: dict[str, str]) -> Tree:
    tree = TREE
    for path, text in files.items():
        tree = tree.with_file(path, text)
    return tree


# What is named exists ------------------------------------------------------------------------------------------------

_PATH = re.compile(r"(?<![\w./-])((?:webapp|tests|docs|scripts)/[\w./-]*[\w/])(?![\w<*{])(` \(new\))?")
_SHORT_PATH = re.compile(r"`([\w/.-]+\.(?:py|md|html|css|txt))`")


def wrong_paths(text: str) -> list[str]:
    """Paths that do not exist, and paths said to be new that do."""
    found = _PATH.findall(text)
    new = {block.path for block in blocks(text) if block.mark == "new"} | {path for path, mark in found if mark}
    named = {path for path, _ in found} | set(_SHORT_PATH.findall(text))
    return sorted(
        f"{path} {'exists already' if path in new else 'does not exist'}"
        for path in named
        if _exists(path) == (path in new)
    )


def _exists(path: str) -> bool:
    return any((folder / path).exists() for folder in (ROOT, ROOT / "webapp"))


def wrong_imports(tree: Tree, path: Path) -> list[str]:
    """What a file imports from webapp that is not there."""
    return [
        f"{path.name} imports {found.name} of {found.module}"
        for found in tree.imports(path)
        if found.module.split(".")[0] == "webapp" and not _has(tree, found.module, found.name)
    ]


def _has(tree: Tree, module: str, name: str | None) -> bool:
    files = set(tree.python_files("webapp"))
    place = ROOT / module.replace(".", "/")
    path = next((each for each in (place.with_suffix(".py"), place / "__init__.py") if each in files), None)
    if path is None:
        return False
    modules = {place / f"{name}.py", place / f"{name}" / "__init__.py"}
    return name is None or name in _names(tree, path) or not modules.isdisjoint(files)


def _names(tree: Tree, path: Path) -> set[str]:
    found = set[str]()
    for node in tree.parsed(path).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {alias.asname or alias.name for alias in node.names}
        else:
            found |= {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
    return found


def rows(text: str) -> Iterator[list[str]]:
    """The cells of every row of every table."""
    for line in text.splitlines():
        if line.startswith("|"):
            yield [cell.strip() for cell in line.strip("|").split("|")]


def walks(text: str) -> list[list[list[str]]]:
    """The rows of both walks, from POST to row and from row to receiver."""
    found: list[list[list[str]]] = []
    for cells in rows(text):
        if cells[0] == "1":
            found.append([])
        if cells[0].isdigit():
            found[-1].append(cells)
    return found


def wrong_names(text: str) -> list[str]:
    """Modules and functions of the walks, and of the last column where it begins with a module, that do not exist."""
    cells = [" ".join(row[1:3]) for walk in walks(text) for row in walk]
    cells += [row[-1] for row in rows(text) if re.match(r"`[\w/]+\.py`", row[-1])]
    return [fault for cell in cells for fault in _unknown(cell)]


def _unknown(cell: str) -> Iterator[str]:
    module: Any = None
    for word in re.findall(r"`([^`]+)`", cell):
        if word.endswith(".py"):
            name = word.removesuffix(".py").replace("/", ".")
            try:
                module = importlib.import_module(name if word == "worker.py" else f"webapp.{name}")
            except ImportError:
                yield f"there is no module {word}"
                return
        else:
            place = module
            for part in word.split("."):
                place = getattr(place, part, None)
            if place is None:
                yield f"{module.__name__} has no {word}"


def test_the_recipes_are_found() -> None:
    listed = re.findall(r"\((add-[\w-]+)\.md\)", (FOLDER / "README.md").read_text())
    assert sorted(listed) == RECIPES
    assert all(len(blocks(recipe(name))) > 1 for name in RECIPES)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_every_path_exists_unless_it_is_marked_as_new(path: Path) -> None:
    assert wrong_paths(path.read_text()) == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_every_python_block_parses_and_imports_what_exists(path: Path) -> None:
    for block in blocks(path.read_text()):
        if block.language == "python":
            tree = tree_with(all_applied()).with_file("block.py", block.code)
            assert wrong_imports(tree, ROOT / "block.py") == []


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_fits_the_code(name: str) -> None:
    files = applied(recipe(name))
    tree = tree_with(files)
    changed = [ROOT / path for path in files if path.endswith(".py")]
    assert changed
    assert [fault for path in changed for fault in wrong_imports(tree, path)] == []


def test_the_recipes_break_no_rule_of_the_house() -> None:
    tree = tree_with(all_applied())
    checks = (*test_jobs.CHECKS, *test_layers.CHECKS, *test_figures.CHECKS)
    assert [fault for check in checks for fault in check(tree)] == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text + "See `webapp/delivery/bells.py`.", "webapp/delivery/bells.py does not exist"),
        (lambda text: text + "| `tests/house/test_nothing.py` |", "tests/house/test_nothing.py does not exist"),
        (lambda text: text + "`tests/house/test_jobs.py` (new)", "tests/house/test_jobs.py exists already"),
        (lambda text: text + "```python\n# webapp/jobs.py (new)\n```\n", "webapp/jobs.py exists already"),
    ],
)
def test_a_wrong_path_is_found(change: Callable[[str], str], words: str) -> None:
    [fault] = wrong_paths(change(recipe("add-a-job")))
    assert fault.startswith(words)


@pytest.mark.parametrize(
    "line",
    [
        "from webapp.services.people import password_reset",
        "from webapp.delivery.bells import ring",
        "from webapp.delivery.rings import ring_everything",
        "import webapp.delivery.bells",
    ],
)
def test_a_wrong_import_is_found(line: str) -> None:
    assert wrong_imports(TREE.with_line("webapp/jobs.py", line), ROOT / "webapp/jobs.py")


def test_a_recipe_that_does_not_fit_is_found() -> None:
    for wrong in ("```diff\n# webapp/jobs.py\n def late() -> None:\n+    pass\n```\n", recipe("add-a-job") * 2):
        with pytest.raises(CannotApply):
            applied(wrong)


@pytest.mark.parametrize("forgotten", ["webapp/jobs.py", "webapp/delivery/rings.py"])
def test_the_house_reminds_of_a_forgotten_step(forgotten: str) -> None:
    files = applied(recipe("add-a-job"))
    del files[forgotten]
    files.pop("webapp/delivery/sweep.py")
    assert test_jobs.the_jobs_that_are_enqueued_exist(tree_with(files))


def test_the_tables_that_no_batch_may_copy_are_those_that_others_refer_to() -> None:
    referred = {key.column.table.name for table in Base.metadata.tables.values() for key in table.foreign_keys}
    [cells] = [row for row in rows(recipe("add-a-migration")) if row[-1].endswith("no batch")]
    assert set(re.findall(r"`(\w+)`", cells[0])) == referred


# docs/how-it-works.md ------------------------------------------------------------------------------------------------

WORDS = (
    *("ring", "bell", "marker", "lane", "take", "drain", "slice", "share", "batch", "lease", "fence", "let go", "hold"),
    *("on hold", "last look", "sweep", "sweeper", "due", "clicked", "fresh", "again", "slot", "active", "slow queue"),
    *("report", "report entry", "window", "group commit", "leader", "token of a lane", "token of a form", "nonce"),
    *("turn of a drain", "turn of a writer", "payload, frozen", "per-app object", "published form", "form version"),
    *("submission", "judge", "capture", "attempt", "outcome", "move", "record", "unsendable", "job", "queue", "rest"),
    *(
        "connection",
        "connector",
        "shape",
        "format",
        "scheme",
        "condition",
        "success rule",
        "preset",
        "template",
        "trial",
    ),
    *("event", "maintenance window", "examination", "rate", "shadow webhook", "worst status", "ordinary webhook"),
)


def test_the_modules_and_functions_of_the_walk_and_the_glossary_exist() -> None:
    assert wrong_names(HOW_IT_WORKS.read_text()) == []


@pytest.mark.parametrize(
    ("name", "instead"), [("`GroupCommit.run`", "`GroupCommit.lead`"), ("`delivery/lanes.py`", "`delivery/lane.py`")]
)
def test_a_wrong_name_is_found(name: str, instead: str) -> None:
    assert wrong_names(HOW_IT_WORKS.read_text().replace(name, instead))


def test_the_walks_are_no_longer_than_what_the_code_may_have() -> None:
    for walk, most in zip(walks(HOW_IT_WORKS.read_text()), (FROM_POST_TO_ROW, FROM_ROW_TO_RECEIVER), strict=True):
        assert [int(cells[0]) for cells in walk] == list(range(1, len(walk) + 1))
        assert len({cells[1] for cells in walk}) <= most


def test_the_glossary_has_every_word_of_the_engine_in_order() -> None:
    glossary = HOW_IT_WORKS.read_text().partition("## Glossary")[2].partition("\n## ")[0]
    words = [cells[0] for cells in rows(glossary)][2:]
    assert [word for word in WORDS if word not in words] == []
    assert words == sorted(words)


def test_the_diagram_has_every_state_and_the_table_every_status() -> None:
    text = HOW_IT_WORKS.read_text()
    [diagram] = [block.code for block in blocks(text.replace("stateDiagram-v2\n", "\n")) if block.language == "mermaid"]
    assert set(re.findall(r"\b[a-z]+(?= -->)|(?<=--> )[a-z]+", diagram)) == {state.value for state in DeliveryState}
    shown = [cells[0] for cells in rows(text.partition("word on the screen")[2].partition("\n## ")[0])]
    assert {word for cell in shown for word in cell.split(", ")} >= {status.value for status in Status}


def test_the_folders_are_those_there_are() -> None:
    listed, stack = set[str](), [""]
    for indent, name in re.findall(
        r"^( *)([\w.-]+/?) ", HOW_IT_WORKS.read_text().partition("## The folders")[2], re.MULTILINE
    ):
        stack[len(indent) // 2 + 1 :] = [name]
        listed.add("".join(stack))
    assert [path for path in listed if not (ROOT / path).exists()] == []
    there = {path.relative_to(ROOT).parent for path in TREE.files()}
    folders = {"/".join(path.parts[:depth]) + "/" for path in there for depth in (1, 2) if len(path.parts) >= depth}
    folders |= {f"{path.as_posix()}/" for path in there if path.parts[:2] == ("webapp", "services")}
    mirrored = {f"tests/{name.removeprefix('webapp/')}" for name in listed if name.startswith("webapp/")}
    assert {name for name in folders if not name.startswith(".")} <= listed | mirrored


# The recipes are followed --------------------------------------------------------------------------------------------
# These functions run in a process whose `webapp` is the changed copy. They import there what only the copy has.


def a_time_field(app: Flask, owner: User, interface: Interface) -> None:
    with transaction():
        fields.add(interface, FieldType("time"), {"label": "Call me at"})
    address, client = f"/f/{interface.public_id}", app.test_client()
    assert 'type="time"' in client.get(address).text
    wrong = client.post(address, json={**ADA, "call_me_at": "9 o'clock"})
    assert wrong.json == {"errors": {"call_me_at": ["This is not a time. Write hours and minutes: 09:30."]}}
    assert client.post(address, json={**ADA, "call_me_at": "09:30"}).status_code == 201
    assert newest_lead().fields["call_me_at"] == "09:30"


def a_job(app: Flask, owner: User, interface: Interface) -> None:
    with transaction():
        db.session.add(PasswordReset(user_id=owner.id, token_hash="x", expires_at=moment(0)))
    queues.redis.flushall()
    Sweep().once()
    [job] = queues.get(MAIL).jobs
    assert job.func_name == "webapp.jobs.delete_expired_links"
    job.perform()
    db.session.rollback()
    assert db.session.query(PasswordReset).count() == 0


def a_page(app: Flask, owner: User, interface: Interface) -> None:
    submit(interface)
    page = as_user(app, owner).get("/profile/numbers")
    assert page.status_code == 200
    assert "Contact sales" in page.text
    assert as_user(app, join(owner, Role.LEADS_ONLY)).get("/profile/numbers").status_code == 403


def a_migration(app: Flask, owner: User, interface: Interface) -> None:
    options = {"compare_type": True, "compare_server_default": True}
    with db.engine.connect() as connection:
        differs = compare_metadata(MigrationContext.configure(connection, opts=options), db.metadata)
    assert differs == [], differs
    lead: Any = submit(interface)
    with transaction():
        lead.note = "Rang back on Monday."


def an_authentication_scheme(app: Flask, owner: User, interface: Interface) -> None:
    from webapp.models import Authentication

    with Receiver() as receiver:
        webhook, client = webhook_pages.add(interface, receiver.url), as_user(app, owner)
        settings = {"webhook_url": receiver.url, "authentication": "jwt", "auth__jwt__audience": "crm"}
        short = save(client, webhook, **settings, auth__jwt__secret="short-of-32-bytes")
        assert short.status_code == 422
        assert "needs 32 bytes" in error_at(short.text, "auth-jwt-secret")
        assert "short-of-32-bytes" not in short.text
        made = save(client, webhook, **settings)
        secret = stored_secrets(webhook)["secret"]
        assert secret in made.text
        assert secret not in client.get(webhook_pages.path(webhook)).text
        lead, moment_before = submit(interface), int(time.time())
        drained(webhook)
        [request] = receiver.wait_for(1)
        scheme, _, sent = request.headers["authorization"].partition(" ")
        token = jwt.decode(sent, OctKey.import_key(secret), algorithms=["HS256"])
        assert (scheme, token.claims["iss"], token.claims["aud"]) == ("Bearer", "leadhook", "crm")
        assert moment_before <= token.claims["iat"] == token.claims["exp"] - 300
        assert delivery_of(lead).state == DeliveryState.DELIVERED
        assert sent not in client.get(f"/leads/{lead.public_id}").text
        tried = client.post(webhook_pages.path(webhook, "/try"), data=webhook_pages.filled(webhook, **settings)).text
        assert re.search(r"authorization:(<[^>]*>|\s)*•••", tried)
        assert sent.partition(".")[0] not in tried
        again = client.post(webhook_pages.path(webhook, "/secret"), data={"secret": ""})
        assert again.status_code == 200
        assert stored_secrets(webhook)["secret"] not in (secret, "")
    assert from_shell.plan(Options(receiver.url, auth="jwt", secret=secret)).wanted.authentication == Authentication(
        "jwt"
    )
    assert [*test_choices.what_is_not_stored(), *test_choices.what_is_not_hidden()] == []
    db.session.rollback()
    with pytest.raises(IntegrityError), db.engine.begin() as connection:
        connection.execute(db.text("UPDATE webhooks SET authentication = 'wrong'"))


def a_payload_format(app: Flask, owner: User, interface: Interface) -> None:
    message = "Tom & <b>Ann</b>\nsay \u201chi\u201d \U0001f600 \x08 \ud83d"
    with Receiver() as receiver:
        webhook, client = webhook_pages.add(interface, receiver.url), as_user(app, owner)
        settings = {"webhook_url": receiver.url, "format": "xml"}
        wrong = save(client, webhook, **settings, format__xml__root="my lead")
        assert wrong.status_code == 422
        assert error_at(wrong.text, "format-xml-root").startswith("Outer element: use letters")
        assert save(client, webhook, **settings, format__xml__root="contact").status_code == 303
        submit(interface, {**ADA, "message": message})
        page = client.post(webhook_pages.path(webhook, "/try"), data=webhook_pages.filled(webhook, **settings)).text
        assert '\n<value name="message">Tom &amp; &lt;b&gt;Ann' in unescape(page)
        assert save(client, webhook, **settings).status_code == 303  # what was made stays as it is
        drained(webhook)
        [request] = receiver.wait_for(1)
    assert request.headers["content-type"] == "application/xml"
    root = ElementTree.fromstring(request.body)
    sent = {str(each.get("name")): each.text or "" for each in root}
    lead = newest_lead()
    assert (root.tag, sent["lead_id"], sent["email"]) == ("contact", lead.public_id, ADA["email"])
    assert sent["message"] == message.replace("\x08", "\ufffd").replace("\ud83d", "\ufffd")
    assert [each.tag for each in ElementTree.fromstring(examinations.changed(request.body))] == ["value"] * len(sent)
    assert from_shell.plan(Options(receiver.url, format="xml")).wanted.stored == {"format": "xml"}
    assert [*test_choices.what_is_not_stored(), *test_choices.what_is_not_hidden()] == []


def drained(webhook: Webhook) -> None:
    webhook_id = webhook.id
    db.session.rollback()
    lanes.drain(webhook_id)


SCENARIOS = [a_time_field, a_job, a_page, a_migration, an_authentication_scheme, a_payload_format]


def newest_lead() -> Lead:
    db.session.rollback()
    return db.session.query(Lead).order_by(Lead.id.desc()).first()


def follow(before: str) -> None:
    """Migrates a database that has rows, tries every scenario, migrates it back; prints what failed, by scenario."""
    app = create_app(Config.load(os.environ))
    app.test_client_class = Browser
    app.config.update(TESTING=True, WTF_CSRF_ENABLED=False)
    failed: dict[str, str] = {}
    with app.app_context():
        upgrade()
        owner = db.session.query(User).one()
        for scenario in SCENARIOS:
            try:
                with transaction():
                    interface = interfaces.create(owner.account_id, "Contact sales")
                scenario(app, owner, interface)
            except Exception:
                failed[scenario.__name__] = traceback.format_exc()
            db.session.rollback()
        db.session.remove()
        downgrade(revision=before)
    print(json.dumps(failed))


@pytest.fixture(scope="module")
def failed(
    template_database: str, postgres: Postgres | None, valkey: Valkey, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """What failed in a copy of the product to which all recipes were applied, one after the other."""
    copy, home = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("home")
    shutil.copytree(ROOT / "webapp", copy / "webapp", ignore=shutil.ignore_patterns("__pycache__"))
    for path, changed in all_applied().items():
        (copy / path).parent.mkdir(exist_ok=True)
        (copy / path).write_text(changed)
    environ = {**KEYS, "LEADHOOK_HOME": str(home), "REDIS_URL": valkey.url, "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8"}
    database = postgres.borrow(template_database) if postgres else ""
    if postgres:
        environ["DATABASE_URL"] = postgres.url(database)
    else:
        shutil.copy(template_database, home / "leadhook.sqlite3")
    valkey.be_up()
    program = f"from tests.house.test_recipes import follow; follow({with_rows(environ)!r})"
    environ = {**os.environ, **environ, "PYTHONPATH": f"{copy}{os.pathsep}{ROOT}"}
    done = subprocess.run([sys.executable, "-c", program], cwd=copy, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    yield json.loads(done.stdout.splitlines()[-1])
    if postgres:
        postgres.give_back(database, template_database)


def with_rows(environ: dict[str, str]) -> str:
    """Puts rows into the database that the migrations must keep; returns its revision."""
    app = create_app(Config.load(environ))
    with app.app_context():
        with transaction():
            owner = users.create_owner("alice@example.com", PASSWORD, "Brightwater Solar")
        with transaction():
            interface = interfaces.create(owner.account_id, "Full")
        point_at(interface, "https://crm.example.com/")
        submit(interface)
        revision = db.session.execute(db.text("SELECT version_num FROM alembic_version")).scalar_one()
        disconnect()
        queues.redis.close()
    return str(revision)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_a_recipe_does_what_it_says(failed: dict[str, str], scenario: Callable[..., None]) -> None:
    assert scenario.__name__ not in failed, failed[scenario.__name__]
