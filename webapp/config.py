"""The configuration: read once from the environment; all mistakes are reported together.

`Config.load()` reads `.env`, then the process environment, which wins, and `NAME_FILE` for secrets. It returns a frozen
Config, or raises ConfigError with one line for each mistake. Names and defaults: docs/configuration.md.
"""

import hashlib
import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv6Network
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from click import ClickException
from cryptography.fernet import Fernet
from dotenv import dotenv_values

from webapp import config_values as values
from webapp.config_values import Network
from webapp.per_app import per_app
from webapp.webhooks.nat64 import parse_prefix

T = TypeVar("T")

RETRY_SCHEDULE = "5,300,1800,7200,18000,36000,36000"
REPORT_WINDOW = "600,3600,21600,86400"
MAKERS: dict[str, Callable[[], str]] = {
    "SECRET_KEY": lambda: secrets.token_urlsafe(48),
    "ENCRYPTION_KEYS": lambda: Fernet.generate_key().decode(),
}
UNIX_SOCKET_LIMIT = 100  # sun_path holds 108 bytes on Linux, 104 on macOS


class ConfigError(ClickException):
    """The environment has mistakes; the text lists each on its own line. `flask` shows it without a traceback."""


@dataclass(frozen=True)
class Config:
    """The settings of the installation. Durations are in seconds. Its repr shows no secret."""

    home: Path
    public_url: str
    port: int
    receiver_port: int
    trusted_proxies: int
    database_url: str = field(repr=False)
    prepared_statements: bool
    redis_url: str = field(repr=False)
    embedded_redis: bool  # Valkey is a child of `make run`, on a unix socket
    secret_key: str = field(repr=False)
    encryption_keys: tuple[str, ...] = field(repr=False)
    metrics_token: str | None = field(repr=False)
    owner_email: str
    owner_password: str | None = field(repr=False)
    mail_server: str | None
    mail_port: int
    mail_use_tls: bool
    mail_use_ssl: bool
    mail_username: str | None
    mail_password: str | None = field(repr=False)
    mail_default_sender: str
    allowed_networks: tuple[Network, ...]
    allowed_networks_given: bool
    nat64_prefix: IPv6Network | None
    webhook_ca_file: str | None
    lookup_timeout: float
    connect_timeout: float
    deadline: float
    retry_schedule: tuple[float, ...]
    report_window: tuple[float, ...]
    form_rate_limit: str
    api_rate_limit: str
    form_minimum_time: float
    autoresponses_per_hour: int
    autoresponses_per_network: int  # a day
    files_bucket: str | None  # None: files are kept in `home`
    files_endpoint: str | None
    files_region: str | None
    files_access_key: str | None = field(repr=False)
    files_secret_key: str | None = field(repr=False)
    files_max_mb: int
    worker_processes: int
    worker_slots: int

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None, dotenv: str = ".env") -> "Config":
        """Reads the environment; by default the process environment over `.env`."""
        if environ is None:
            environ = {**{k: v for k, v in dotenv_values(dotenv).items() if v is not None}, **os.environ}
        return _Reader(environ).config()


current_config: Config = per_app("config")


class _Reader:
    """Reads names one by one and collects the mistakes."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.mistakes: list[str] = []

    def config(self) -> Config:
        home = Path(self.text("LEADHOOK_HOME") or "var").absolute()
        port = self.read("PORT", "8000", values.port)
        single_machine = not (self.text("DATABASE_URL") or self.text("REDIS_URL"))
        public_url = self.read("PUBLIC_URL", f"http://127.0.0.1:{port or 8000}", values.public_url)
        deadline = self.read("WEBHOOK_DEADLINE", "15", values.seconds)
        networks = "WEBHOOK_ALLOWED_NETWORKS"
        found: dict[str, Any] = dict(  # noqa: C408 - reads like the Config it becomes
            home=home,
            port=port,
            public_url=public_url,
            receiver_port=self.read("RECEIVER_PORT", str(_next_to(port or 8000)), values.port),
            trusted_proxies=self.read("TRUSTED_PROXIES", "0", values.count),
            database_url=self.read("DATABASE_URL", values.sqlite_url(home), values.database_url),
            prepared_statements=self.read("DATABASE_PREPARED_STATEMENTS", "on", values.boolean),
            redis_url=self.read("REDIS_URL", f"unix://{quote(str(valkey_socket(home)))}", values.redis_url),
            embedded_redis=self.text("REDIS_URL") is None,
            metrics_token=self.read("METRICS_TOKEN", "", values.metrics_token),
            owner_email=self.read("OWNER_EMAIL", "owner@example.com", values.email),
            owner_password=self.text("OWNER_PASSWORD"),
            mail_server=self.text("MAIL_SERVER"),
            mail_port=self.read("MAIL_PORT", "25", values.port),
            mail_use_tls=self.read("MAIL_USE_TLS", "false", values.boolean),
            mail_use_ssl=self.read("MAIL_USE_SSL", "false", values.boolean),
            mail_username=self.text("MAIL_USERNAME"),
            mail_password=self.text("MAIL_PASSWORD"),
            mail_default_sender=self.read("MAIL_DEFAULT_SENDER", values.sender_of(public_url), values.sender),
            allowed_networks=self.read(networks, "", values.networks) or (),
            allowed_networks_given=not {networks, f"{networks}_FILE"}.isdisjoint(self.environ),
            nat64_prefix=self.read("WEBHOOK_NAT64_PREFIX", "", parse_prefix),
            webhook_ca_file=self.read("WEBHOOK_CA_FILE", "", values.authorities) or None,
            lookup_timeout=self.read("WEBHOOK_LOOKUP_TIMEOUT", str(min(5.0, deadline or 5.0)), values.seconds),
            connect_timeout=self.read("WEBHOOK_CONNECT_TIMEOUT", str(min(5.0, deadline or 5.0)), values.seconds),
            deadline=deadline,
            retry_schedule=self.read("RETRY_SCHEDULE", RETRY_SCHEDULE, values.seconds_list),
            report_window=self.read("REPORT_WINDOW", REPORT_WINDOW, values.seconds_list),
            form_rate_limit=self.read("FORM_RATE_LIMIT", "30 per minute", values.rate_limit, keep_empty=True),
            api_rate_limit=self.read("API_RATE_LIMIT", "600 per minute", values.rate_limit, keep_empty=True),
            form_minimum_time=self.read("FORM_MINIMUM_TIME", "0.3", values.seconds_or_none),
            autoresponses_per_hour=self.read("AUTORESPONSES_PER_HOUR", "200", values.at_least_one),
            autoresponses_per_network=self.read("AUTORESPONSES_PER_NETWORK", "10", values.at_least_one),
            files_bucket=self.read("FILES_BUCKET", "", values.bucket) or None,
            files_endpoint=self.read("FILES_ENDPOINT", "", values.endpoint) or None,
            files_region=self.text("FILES_REGION"),
            files_access_key=self.text("FILES_ACCESS_KEY"),
            files_secret_key=self.text("FILES_SECRET_KEY"),
            files_max_mb=self.read("FILES_MAX_MB", "50", values.megabytes),
            worker_processes=self.read("WORKER_PROCESSES", str(os.cpu_count() or 1), values.at_least_one),
            worker_slots=self.read("WORKER_SLOTS", "128", values.at_least_one),
        )
        found |= self.keys(home, single_machine)
        self.check_together(found)
        if self.mistakes:
            raise ConfigError("Leadhook cannot start:\n" + "\n".join(f"- {mistake}" for mistake in self.mistakes))
        return Config(**found)

    def text(self, name: str) -> str | None:
        """The value of `name`, or the content of the file that NAME_FILE names; None if neither is set."""
        value = self.environ.get(name, "").strip()
        path = self.environ.get(f"{name}_FILE", "").strip()
        if not value and path:
            try:
                value = Path(path).read_text().strip()
            except (OSError, ValueError) as error:
                mistake = f"{name}_FILE: {path} cannot be read ({getattr(error, 'strerror', None) or 'it is not text'})"
                self.mistakes += [] if mistake in self.mistakes else [mistake]
        return value or None

    def read(self, name: str, default: str, parse: Callable[[str], T], keep_empty: bool = False) -> T | None:
        given = self.environ.get(name)
        value = "" if keep_empty and given is not None and not given.strip() else self.text(name) or default
        try:
            return parse(value)
        except ValueError as error:
            self.mistakes.append(f"{name}: {error}")
            return None

    def keys(self, home: Path, single_machine: bool) -> dict[str, Any]:
        """SECRET_KEY and ENCRYPTION_KEYS: given, or, on a one-machine installation, made once and kept in `home`."""
        found: dict[str, str] = {}
        for name, make in MAKERS.items():
            found[name] = self.text(name) or ""
            if not found[name] and not single_machine:
                self.mistakes.append(f"{name}: must be given if DATABASE_URL or REDIS_URL is set")
            elif not found[name] and not self.mistakes:
                found[name] = self.kept(home / name.lower(), make)
        encryption_keys = tuple(key.strip() for key in found["ENCRYPTION_KEYS"].split(",") if key.strip())
        if found["ENCRYPTION_KEYS"] and not (encryption_keys and all(map(values.is_fernet_key, encryption_keys))):
            self.mistakes.append("ENCRYPTION_KEYS: each must be a Fernet key, 32 bytes in url-safe base64")
        if found["SECRET_KEY"] and len(found["SECRET_KEY"]) < 16:
            self.mistakes.append("SECRET_KEY: must be at least 16 characters long")
        return {"secret_key": found["SECRET_KEY"], "encryption_keys": encryption_keys}

    def kept(self, path: Path, make: Callable[[], str]) -> str:
        try:
            return kept_secret(path, make)
        except OSError as error:
            self.mistakes.append(f"LEADHOOK_HOME: {path.parent} cannot be used ({error.strerror})")
            return ""

    def check_together(self, found: Mapping[str, Any]) -> None:
        if found["mail_use_tls"] and found["mail_use_ssl"]:
            self.mistakes.append("MAIL_USE_TLS, MAIL_USE_SSL: only one of them can be on")
        for part in ("lookup_timeout", "connect_timeout"):
            if found[part] is not None and found["deadline"] is not None and found[part] > found["deadline"]:
                self.mistakes.append(f"WEBHOOK_{part.upper()}: cannot be longer than WEBHOOK_DEADLINE")
        self.mistakes += values.storage_mistakes(found)
        if found["port"] is not None and found["port"] == found["receiver_port"]:
            self.mistakes.append("RECEIVER_PORT: cannot be the same as PORT")


def _next_to(port: int) -> int:
    return port + 1 if port < 65535 else port - 1


def valkey_socket(home: Path) -> Path:
    """The embedded Valkey's socket: in `home`, or below /tmp if that path is too long for a unix socket."""
    path = home / "valkey.sock"
    if len(os.fsencode(path)) <= UNIX_SOCKET_LIMIT:
        return path
    name = hashlib.sha256(os.fsencode(home)).hexdigest()[:16]
    # Not TMPDIR, which can differ between the terminals that start the processes.
    return Path("/tmp") / f"leadhook-{os.getuid()}-{name}" / "valkey.sock"  # noqa: S108 - `make run` checks its owner


def kept_secret(path: Path, make: Callable[[], str]) -> str:
    """The secret in the file `path`, made now (mode 600) if it is missing; safe if several processes start together."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    if not path.exists():
        with open(os.open(draft, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as file:
            file.write(make())
        try:
            os.link(draft, path)  # fails if another process was first, and never leaves half a file
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text().strip()
