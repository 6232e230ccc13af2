"""What is committed names no machine and no package index, and the vendored assets are what they claim to be."""

import hashlib
import json
import re
from pathlib import Path

import pytest

from tests.support.tree import ROOT, files, python_files

VENDOR = ROOT / "webapp" / "static" / "vendor"
MANIFEST = json.loads((VENDOR / "manifest.json").read_text())
# In two parts each, or this file would find itself.
HOSTS = ["py" + "pi.org", "python" + "hosted.org", "npm" + "js.org", "deb." + "debian.org", "crates" + ".io"]
FOLDERS = ["wo" + "rk", "fa" + "rm", "ro" + "ot", "ho" + "me"]
TEXTS = [path for path in files() if path.suffix not in (".png", ".webp", ".ico", ".woff2")]
LONGEST = 300  # lines of a module: past 250 a reason to look, past this one to split


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_it_names_no_package_index_and_no_machine(path: Path) -> None:
    text = path.read_text()
    assert not re.search("|".join(map(re.escape, HOSTS)), text)
    paths = re.search(rf"(?:^|[^\w./<>{{}}-])/(?:{'|'.join(FOLDERS)})/\w+", text, re.MULTILINE)
    assert not paths, paths


LOCKS = ("requirements.txt", "requirements-test.txt", "requirements-bench.txt")


@pytest.mark.parametrize("name", [*LOCKS, "requirements-mcp1.txt", "tests/clients/requirements.txt"])
def test_a_lock_holds_names_versions_and_hashes_only(name: str) -> None:
    for line in (ROOT / name).read_text().splitlines():
        assert re.fullmatch(r"[a-z0-9-]+==[\w.]+( ; [^\\]+)? \\|    --hash=sha256:[0-9a-f]{64}( \\)?", line), line


def test_what_two_locks_pin_they_pin_alike() -> None:
    pins: dict[str, set[str]] = {}
    for lock in LOCKS:
        pinned = re.findall(r"^([a-z0-9-]+)==([\w.]+)( ; [^\\]+)? ", (ROOT / lock).read_text(), re.MULTILINE)
        for name, version, condition in pinned:
            pins.setdefault(name + condition, set()).add(version)
    assert {name for name, versions in pins.items() if len(versions) > 1} == set()


@pytest.mark.parametrize("asset", MANIFEST, ids=lambda asset: asset["file"])
def test_a_vendored_asset_is_the_one_that_was_checked(asset: dict[str, str]) -> None:
    assert hashlib.sha256((VENDOR / asset["file"]).read_bytes()).hexdigest() == asset["sha256"]
    assert asset["version"] in asset["file"], "the version in the name makes browsers fetch a new one"
    assert (VENDOR / asset["licence_file"]).exists()


def test_every_vendored_file_is_in_the_manifest_and_used() -> None:
    kept = {path.name for path in files() if path.parent == VENDOR} - {"manifest.json"}
    assert kept == {asset[key] for asset in MANIFEST for key in ("file", "licence_file")}
    templates = "\n".join(path.read_text() for path in files() if path.suffix == ".html")
    for asset in MANIFEST:
        assert f"vendor/{asset['file']}" in templates


MODULES = [path for path in python_files("webapp") if "migrations" not in path.parts]


@pytest.mark.parametrize("path", [*MODULES, ROOT / "worker.py"], ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_is_short_enough_to_read(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LONGEST


def test_the_image_of_the_readme_is_not_larger_than_a_page_should_be() -> None:
    for path in files():
        if path.suffix in (".png", ".webp"):
            assert path.stat().st_size < (600_000 if path.suffix == ".png" else 60_000), path
