"""A real Chromium before a real site, one of each for all browser tests of a run."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from flask import Flask
from playwright.sync_api import Browser, Locator, Page, Playwright, sync_playwright

from tests.conftest import KEYS, PASSWORD
from tests.support import loaded
from tests.support.forked import running_site
from tests.support.postgres import Postgres
from tests.support.receiver import Receiver
from tests.support.site import Site
from tests.support.valkey import Valkey, running_valkey
from tests.support.waiting import wait_until
from webapp import create_app
from webapp.config import Config
from webapp.db.transactions import disconnect, transaction
from webapp.services.people import users

CHROMIUM = "/usr/bin/chromium"
# The same Chromium without windows, settings and suggestions, if it is installed: it needs two thirds of the time.
HEADLESS = shutil.which("chromium-headless-shell") or CHROMIUM
# Each window would begin with pages for the suggestions of its address bar, in a process of their own. Of several such
# switches the last counts, so Playwright's own are here, too.
DISABLED = "AimEnabled,AvoidCorsURLLoaderRestartOnRedirect,AvoidUnnecessaryBeforeUnloadCheckSync,\
DestroyProfileOnBrowserClose,HttpsFirstBalancedModeAutoEnable,HttpsUpgrades,LensOverlay,MediaRouter,\
NetworkTimeServiceQuerying,OptimizationHints,PaintHolding,PreconnectToSearch,TcpPortRandomizationWin,\
ThirdPartyStoragePartitioning,WebUIOmniboxAimPopup,WebUIOmniboxFullPopup,WebUIOmniboxPopup"
SWITCHES = [
    "--no-sandbox",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    f"--disable-features={DISABLED}",
    "--host-resolver-rules=MAP *.test 127.0.0.1",  # over plain http, unlike localhost, such a site is not trusted
]
EMAIL = "alice@example.com"


@pytest.fixture(scope="session")
def site_valkey() -> Iterator[Valkey]:
    """The site's own: other tests empty theirs."""
    with tempfile.TemporaryDirectory(prefix="leadhook-site-") as directory, running_valkey(Path(directory)) as valkey:
        yield valkey


@pytest.fixture(scope="session")
def site_app(
    template_database: str, postgres: Postgres | None, site_valkey: Valkey, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Flask]:
    """An app on the site's database, for a test to look into it; with its owner."""
    home = tmp_path_factory.mktemp("site")
    environ = {**KEYS, "LEADHOOK_HOME": str(home), "REDIS_URL": site_valkey.url}
    environ |= {"WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8,::1/128", "FORM_RATE_LIMIT": "", "FORM_MINIMUM_TIME": "0"}
    if postgres:
        postgres.execute(f"CREATE DATABASE site TEMPLATE {template_database}")
        environ["DATABASE_URL"] = postgres.url("site")
    else:
        shutil.copy(template_database, home / "leadhook.sqlite3")
    app = create_app(Config.load(environ))
    app.config["ENVIRON"] = environ
    with app.app_context(), transaction():
        users.create_owner(EMAIL, PASSWORD, "Brightwater Solar")
    yield app
    with app.app_context():
        disconnect()


@pytest.fixture(autouse=True)
def _in_the_site(site_app: Flask) -> Iterator[None]:
    """Lets a test look into the site's database; not for the session, or other tests would look into it, too."""
    with site_app.app_context():
        yield


@pytest.fixture(scope="session")
def site(site_app: Flask) -> Iterator[Site]:
    with running_site(site_app.config["ENVIRON"]) as site:
        yield site


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    """Its pages are read when they are loaded."""
    with sync_playwright() as playwright, pytest.MonkeyPatch.context() as patch:
        loaded.read_when_loaded(patch)
        yield playwright


@pytest.fixture(scope="session")
def chromium(playwright: Playwright) -> Iterator[Browser]:
    with playwright.chromium.launch(executable_path=HEADLESS, args=SWITCHES) as browser:
        yield browser


@pytest.fixture(scope="session")
def whole_chromium(playwright: Playwright) -> Iterator[Browser]:
    """With all that people have in it, such as the addresses that it fills into forms."""
    with playwright.chromium.launch(executable_path=CHROMIUM, args=SWITCHES) as browser:
        yield browser


@pytest.fixture
def page(chromium: Browser, site: Site) -> Iterator[Page]:
    """A window of 1280 × 800; any script error or refusal by the Content-Security-Policy fails the test."""
    with window(chromium, site) as page:
        yield page


@pytest.fixture
def page_without_javascript(chromium: Browser, site: Site) -> Iterator[Page]:
    with window(chromium, site, javascript=False) as page:
        yield page


@contextmanager
def window(chromium: Browser, site: Site, javascript: bool = True) -> Iterator[Page]:
    context = chromium.new_context(
        base_url=site.url, viewport={"width": 1280, "height": 800}, java_script_enabled=javascript
    )
    context.set_default_timeout(15_000)
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    yield page
    context.close()
    # A 422 or 404 that a test provokes is logged by the browser, too; scripts and policy are what matters here.
    assert [error for error in errors if "status of 4" not in error] == []


def reload_until_shown(page: Page, words: Locator) -> None:
    """For what is recorded later than the receiver has the request: a page that was made before it does not change."""

    def shown() -> int:
        page.reload()
        return words.count()

    wait_until(shown, f"{words} to be on the page", every=0.2)


def sign_in(page: Page) -> None:
    """As a person does it, by the labels."""
    page.goto("/login")
    page.get_by_label("Email").fill(EMAIL)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/interfaces")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver
