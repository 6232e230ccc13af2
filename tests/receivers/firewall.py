"""python -m tests.receivers.firewall: what a web firewall refuses of harmless texts, before Leadhook and at a receiver.

The firewall is ModSecurity with the OWASP Core Rule Set of the Debian packages apache2, libapache2-mod-security2 and
modsecurity-crs, at paranoia level 1, and refuses what its rules find. It runs on loopback in a temporary directory. As
root the packages are installed if they are missing. `docs/firewalls.md` has the results.
"""

import base64
import html
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import urlencode

import requests

from tests.receivers.awkward import REFERRERS, TEXTS
from tests.support.make_run import ROOT, MakeRun, free_port
from tests.support.waiting import wait_until

PACKAGES = ("apache2", "libapache2-mod-security2", "modsecurity-crs")
MODULES = ("mpm_event", "authz_core", "unique_id", "reqtimeout", "proxy", "proxy_http", "security2")
# The exceptions of docs/firewalls.md.
EXEMPT_FORMS = r"""SecRule REQUEST_URI "@rx ^/f/[\w-]+(?:\?|$)" \
    "id:10100,phase:1,pass,nolog,\
    ctl:ruleRemoveTargetByTag=OWASP_CRS;ARGS,\
    ctl:ruleRemoveTargetByTag=OWASP_CRS;REQUEST_BODY"
"""
EXEMPT_LEADS = r"""SecRule REQUEST_URI "@beginsWith /leads" \
    "id:10101,phase:1,pass,nolog,\
    ctl:ruleRemoveTargetByTag=OWASP_CRS;ARGS,\
    ctl:ruleRemoveTargetByTag=OWASP_CRS;REQUEST_BODY"
"""
WATCH_FORMS = r"""SecRule REQUEST_URI "@beginsWith /f/" \
    "id:10102,phase:1,pass,nolog,ctl:ruleEngine=DetectionOnly"
"""
MODES = {
    "no exception": "",
    "answers not examined": EXEMPT_FORMS + EXEMPT_LEADS,
    "forms only watched": WATCH_FORMS,
}
SCORES = {"949110", "980130", "980140"}  # rules that only add up what others found
# As a browser sends them.
BROWSER = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0",
    "Accept": "text/html,application/xhtml+xml,*/*;q=0.8",
    "Accept-Language": "en",
}


class Receiver(BaseHTTPRequestHandler):
    """Answers 200 to everything."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        """Nothing."""


def install() -> None:
    if not Path("/usr/share/modsecurity-crs/rules").exists() or not shutil.which("apache2"):
        if os.geteuid():
            sys.exit(f"Run it as root, or first: apt-get install {' '.join(PACKAGES)}")
        subprocess.run(["apt-get", "install", "-qq", *PACKAGES], check=True, stdout=subprocess.DEVNULL)
    for package in PACKAGES:
        shown = subprocess.run(["dpkg-query", "-W", package], capture_output=True, text=True, check=True)
        print(shown.stdout.strip().replace("\t", " "))


def configuration(directory: Path, exception: str, ports: dict[int, int]) -> str:
    """Apache as a reverse proxy: it listens on each port of `ports` and passes on to the other. As Debian sets it up,
    but blocking, and with the exception where the rule set's own file for exceptions is."""
    load = "\n".join(f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so" for name in MODULES)
    sites = "\n".join(
        f"Listen 127.0.0.1:{outer}\n<VirtualHost 127.0.0.1:{outer}>\nProxyPreserveHost On\n"
        f"ProxyPass / http://127.0.0.1:{inner}/\n</VirtualHost>"
        for outer, inner in ports.items()
    )
    return f"""
{load}
ServerName localhost
PidFile {directory}/apache.pid
ErrorLog {directory}/error.log
{sites}
SecDataDir {directory}
Include /etc/modsecurity/modsecurity.conf-recommended
SecRuleEngine On
SecAuditLog {directory}/audit.log
SecAuditLogParts ABCHZ
Include /etc/modsecurity/crs/crs-setup.conf
{exception}
Include /usr/share/modsecurity-crs/rules/*.conf
"""


@contextmanager
def firewall(directory: Path, exception: str, ports: dict[int, int]) -> Iterator[Path]:
    """Runs it; returns the path of its log of refused requests."""
    directory.mkdir()
    directory.chmod(0o777)
    config = directory / "apache.conf"
    config.write_text(configuration(directory, exception, ports))
    output = (directory / "output").open("wb")
    process = subprocess.Popen(["apache2", "-f", str(config), "-DFOREGROUND"], stdout=output, stderr=output)
    try:
        wait_until(lambda: process.poll() is not None or (directory / "apache.pid").exists(), "the firewall to start")
        if process.poll() is not None:
            sys.exit((directory / "output").read_text() + (directory / "error.log").read_text())
        yield directory / "audit.log"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()
        output.close()


def rules(log: Path, start: int) -> str:
    """The rules that found something in the one request that was refused since `start` (bytes)."""
    logged = wait_until(lambda: _whole(log.read_bytes()[start:]), "its log")
    return " ".join(sorted(set(re.findall(r'\[id "(\d+)"\]', logged.decode("utf-8", "replace"))) - SCORES))


def _whole(logged: bytes) -> bytes:
    return logged if b"-Z--" in logged else b""


def size(log: Path) -> int:
    return log.stat().st_size if log.exists() else 0


class Installation:
    """A Leadhook behind the firewall, with one interface whose leads go through the firewall, too."""

    def __init__(self, home: Path, run: MakeRun, outer: int, receiver: int) -> None:
        self.home, self.direct, self.outer = home, run.address, f"http://localhost:{outer}"
        command = [sys.executable, "-m", "flask", "--app", "webapp", "create-interface", "--name", "Contact"]
        more = ["--no-retries", "--webhook-url", f"http://localhost:{receiver}/leads"]
        made = subprocess.run([*command, *more], cwd=ROOT, env=run.environ, capture_output=True, text=True, check=True)
        self.form = f"/f/{json.loads(made.stdout.splitlines()[-1])['id']}"

    def view(self, base: str, referrer: str) -> requests.Response:
        """The form as `embed.js` asks for it."""
        known = {"page_title": "Contact", "referrer": referrer, "page_url": "https://www.example.com/contact"}
        packed = base64.urlsafe_b64encode(json.dumps(known, ensure_ascii=False).encode()).decode().rstrip("=")
        return requests.get(
            f"{base}{self.form}?{urlencode({'_frame': 1, '_source': packed})}", headers=BROWSER, timeout=20
        )

    def view_by_name(self, base: str, referrer: str) -> requests.Response:
        """The form with the referrer as a value of its own, as a link in plain HTML can have it."""
        return requests.get(f"{base}{self.form}?{urlencode({'referrer': referrer})}", headers=BROWSER, timeout=20)

    def post(self, base: str, page: str, **answers: str) -> requests.Response:
        """Sends the form of a page, with its hidden controls, as a browser does."""
        hidden = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', page))
        answers = {name: html.unescape(value) for name, value in hidden.items()} | answers | {"_website": ""}
        headers = {**BROWSER, "Origin": base, "Referer": f"{base}{self.form}"}
        address = f"{base}{self.form}"
        return requests.post(address, data=answers, headers=headers, allow_redirects=False, timeout=20)

    def outcomes(self) -> dict[str, tuple[str, int, str]]:
        """The state, the code and the answer of each delivery, by the visitor's name."""
        with closing(sqlite3.connect(self.home / "leadhook.sqlite3")) as connection:
            rows = connection.execute("SELECT payload, state, last_code, last_response FROM deliveries").fetchall()
        return {json.loads(row[0])["data"]["lead"]["fields"]["name"]: row[1:] for row in rows}


def texts(of: Installation, log: Path, mode: str) -> None:
    """Each text through the form, and as a lead to the receiver; prints what was refused and by which rules."""
    page = of.view(of.direct, REFERRERS[0]).text
    refused: dict[str, list[str]] = {"form": [], "receiver": []}
    for number, (kind, text) in enumerate(TEXTS):
        name, before = f"Ada {mode} {number}", size(log)
        answer = of.post(of.outer, page, name=name, email="ada@example.com", message=text)
        if answer.status_code != 303:
            refused["form"].append(kind)
            at_form = f"{answer.status_code} by {rules(log, before)}"
            of.post(of.direct, page, name=name, email="ada@example.com", message=text)
        else:
            at_form = "taken"
        done = wait_until(
            lambda name=name: (found := of.outcomes().get(name)) and found[0] != "pending" and found, name
        )
        if done[1] != 200:
            refused["receiver"].append(kind)
        print(f"  {at_form:40} receiver {done[0]} {done[1]:4}  {kind}: {text[:60]!r}")
    for place, kinds in refused.items():
        print(f"  refused at the {place}: {len(kinds)} of {len(TEXTS)}: {dict(Counter(kinds))}")
    answers = {done[2] for name, done in of.outcomes().items() if name.startswith(f"Ada {mode} ") and done[1] == 403}
    print(f"  what a refused delivery shows: {answers}")


def referrers(of: Installation, log: Path, outer: int) -> None:
    """The form's page and a plain answer, for visitors from each referrer; also by a numeric address."""
    for base in (of.outer, f"http://127.0.0.1:{outer}"):
        for referrer in REFERRERS:
            before = size(log)
            by_name = of.view_by_name(base, referrer)
            view = of.view(base, referrer)
            page = view.text if view.ok else of.view(of.direct, referrer).text
            post = of.post(base, page, name="Ada", email="ada@example.com", message="Hello")
            codes = by_name.status_code, view.status_code, post.status_code
            found = f"by {rules(log, before)}" if 403 in codes else ""
            print(f"  {base:24} by name {codes[0]}, page {codes[1]}, post {codes[2]} {found} from {referrer}")


def main() -> None:
    install()
    scratch = Path(tempfile.mkdtemp(prefix="leadhook-firewall-"))
    scratch.chmod(0o755)
    receiver = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    Thread(target=receiver.serve_forever, args=(0.02,), daemon=True).start()
    outer, outer_receiver = free_port(), free_port()
    settings = {"PUBLIC_URL": f"http://localhost:{outer}", "FORM_RATE_LIMIT": "", "FORM_MINIMUM_TIME": "0"}
    settings["WEBHOOK_ALLOWED_NETWORKS"] = "127.0.0.0/8,::1/128"
    with MakeRun(scratch / "home", scratch / "run", **settings) as run:
        run.ready()
        ports = {outer: int(run.environ["PORT"]), outer_receiver: receiver.server_port}
        installation = Installation(scratch / "home", run, outer, outer_receiver)
        for number, (mode, exception) in enumerate(MODES.items()):
            print(f"\n{mode}")
            with firewall(scratch / str(number), exception, ports) as log:
                texts(installation, log, mode)
                referrers(installation, log, outer)
    receiver.shutdown()
    shutil.rmtree(scratch)


if __name__ == "__main__":
    main()
