"""The environment is read once. All mistakes are reported together, in sentences for the operator."""

import os
import stat
from base64 import urlsafe_b64encode
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

from tests.support.forked import forking
from tests.support.tree import ROOT
from webapp import create_app
from webapp.config import UNIX_SOCKET_LIMIT, Config, ConfigError, valkey_socket

KEY = urlsafe_b64encode(bytes(32)).decode()  # the same in every process, because it is in the ids of tests
ON_SERVERS = {
    "DATABASE_URL": "postgresql+psycopg://leadhook:pa%2Fss@db/leadhook",
    "REDIS_URL": "rediss://:pa%2Fss@redis:6379/1",
    "SECRET_KEY": "sixteen characters",
    "ENCRYPTION_KEYS": KEY,
}


def load(home: Path, **environ: str) -> Config:
    return Config.load({"LEADHOOK_HOME": str(home), **environ})


def mistakes(home: Path, **environ: str) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        load(home, **environ)
    first, *lines = str(raised.value).splitlines()
    assert first == "Leadhook cannot start:"
    return [line.removeprefix("- ") for line in lines]


def test_nothing_has_to_be_set(tmp_path: Path) -> None:
    config = load(tmp_path)

    assert (config.port, config.receiver_port, config.public_url) == (8000, 8001, "http://127.0.0.1:8000")
    assert config.database_url == f"sqlite:///{tmp_path}/leadhook.sqlite3"
    assert config.redis_url == f"unix://{tmp_path}/valkey.sock"
    assert config.embedded_redis
    assert config.owner_email == "owner@example.com"
    assert config.owner_password is None
    assert config.mail_server is None
    assert config.mail_default_sender == "leadhook@localhost"
    assert (config.allowed_networks, config.allowed_networks_given) == ((), False)
    assert (config.connect_timeout, config.deadline) == (5, 15)
    assert config.retry_schedule == (5, 300, 1800, 7200, 18000, 36000, 36000)
    assert config.report_window == (600, 3600, 21600, 86400)
    assert config.form_rate_limit == "30 per minute"
    assert (config.worker_processes, config.worker_slots) == (os.cpu_count(), 128)


@pytest.mark.parametrize("word", ["off", "0", "false", "no", "OFF"])
def test_prepared_statements_are_on_unless_they_are_turned_off(tmp_path: Path, word: str) -> None:
    assert load(tmp_path).prepared_statements
    assert not load(tmp_path, DATABASE_PREPARED_STATEMENTS=word).prepared_statements
    assert mistakes(tmp_path, DATABASE_PREPARED_STATEMENTS="maybe") == [
        "DATABASE_PREPARED_STATEMENTS: 'maybe' is not true or false"
    ]


@pytest.mark.parametrize("value", ["0", "5", "None", ""])
def test_a_prepare_threshold_in_the_address_is_refused_and_not_dropped(tmp_path: Path, value: str) -> None:
    url = f"postgresql+psycopg://leadhook@db/leadhook?prepare_threshold={value or 'off'}"
    [mistake] = mistakes(tmp_path, **{**ON_SERVERS, "DATABASE_URL": url})
    assert mistake.startswith("DATABASE_URL: cannot have prepare_threshold: set DATABASE_PREPARED_STATEMENTS=off")


@pytest.mark.parametrize(
    ("query", "word"),
    [
        *((f"{name}=x", name) for name in ("autocommit", "row_factory", "cursor_factory", "context", "colour")),
        *((f"{name}=x", name) for name in ("pool_size", "isolation_level", "Connect_Timeout", "charset", "conninfo")),
        ("sslmode=maybe", "sslmode"),
        ("target_session_attrs=best", "target_session_attrs"),
        ("connect_timeout=soon", "connect_timeout"),
        ("gssencmode=often", "gssencmode"),
        ("channel_binding=x", "channel_binding"),
        ("sslmode=require&sslmode=disable", "sslmode"),
        ("connect_timeout=3&row_factory=x", "row_factory"),
    ],
)
def test_an_option_of_the_database_that_cannot_be_used_is_named(tmp_path: Path, query: str, word: str) -> None:
    url = f"postgresql+psycopg://leadhook:hunter2@db/leadhook?{query}"
    [mistake] = mistakes(tmp_path, **{**ON_SERVERS, "DATABASE_URL": url})
    assert mistake.startswith("DATABASE_URL: has an option ")
    assert word in mistake
    assert "hunter2" not in mistake


@pytest.mark.parametrize(
    "query",
    [
        *(
            "connect_timeout=3",
            "sslmode=verify-full&sslrootcert=/etc/ca.pem",
            "application_name=leads",
            "options=-c%20a=b",
        ),
        *("host=a:5432&host=b:5433", "host=/run/postgresql&port=6432", "target_session_attrs=read-write"),
        *(
            "tcp_user_timeout=3000",
            "keepalives=0",
            "options=-c%20a=b",
            "options=-ca=b&options=-cc=d",
            "hostaddr=192.0.2.1",
        ),
    ],
)
def test_options_that_postgresql_knows_are_kept(tmp_path: Path, query: str) -> None:
    url = f"postgresql+psycopg://leadhook@/leadhook?{query}"
    assert load(tmp_path, **{**ON_SERVERS, "DATABASE_URL": url}).database_url == url


@pytest.mark.parametrize(
    "query", ["timeout=30", "mode=ro", "colour=red", "check_same_thread=true", "uri=true", "cache=x"]
)
def test_an_sqlite_file_takes_no_options(tmp_path: Path, query: str) -> None:
    [mistake] = mistakes(tmp_path, **{**ON_SERVERS, "DATABASE_URL": f"sqlite:////tmp/leads.sqlite3?{query}"})
    assert mistake == f"DATABASE_URL: cannot have options for SQLite: {query.partition('=')[0]}"


def test_the_other_defaults_follow_the_port_and_the_public_url(tmp_path: Path) -> None:
    config = load(tmp_path, PORT="9000")
    assert (config.receiver_port, config.public_url) == (9001, "http://127.0.0.1:9000")
    assert load(tmp_path, PUBLIC_URL="https://leads.example.com/").public_url == "https://leads.example.com"
    assert load(tmp_path, PUBLIC_URL="https://leads.example.com").mail_default_sender == "leadhook@leads.example.com"


@pytest.mark.parametrize(
    ("given", "host"),
    [
        ("https://leads.exämple.com", "leads.xn--exmple-cua.com"),
        ("https://Straße.example:8443/", "xn--strae-oqa.example:8443"),
        ("https://пример.рф", "xn--e1afmkfd.xn--p1ai"),
        ("https://i❤.example", "i❤.example"),
        ("https://[2001:db8::1]:8443", "[2001:db8::1]:8443"),
    ],
)
def test_an_international_public_url_is_kept_as_browsers_send_it(tmp_path: Path, given: str, host: str) -> None:
    assert load(tmp_path, PUBLIC_URL=given, MAIL_DEFAULT_SENDER="a@example.com").public_url == f"https://{host}"


def test_a_host_that_cannot_exist_is_a_mistake(tmp_path: Path) -> None:
    found = mistakes(tmp_path, PUBLIC_URL=f"https://{'a' * 64}.example.com")
    assert ["longer than 63 characters" in each for each in found] == [True]


def test_the_senders_domain_is_kept_in_ascii(tmp_path: Path) -> None:
    given = "Léa <leads@straße.example>"
    assert load(tmp_path, MAIL_DEFAULT_SENDER=given).mail_default_sender == "Léa <leads@xn--strae-oqa.example>"


def test_all_mistakes_are_reported_at_once(tmp_path: Path) -> None:
    found = mistakes(
        tmp_path,
        PORT="http",
        TRUSTED_PROXIES="-1",
        PUBLIC_URL="leads.example.com",
        WEBHOOK_ALLOWED_NETWORKS="10.0.0.0/8, 10.0.0.1/8",
        RETRY_SCHEDULE="5, soon",
        FORM_RATE_LIMIT="many",
        WORKER_SLOTS="0",
        MAIL_USE_TLS="maybe",
        REDIS_URL="localhost",
    )

    names = [mistake.partition(":")[0] for mistake in found]
    assert names == [
        *("PORT", "PUBLIC_URL", "TRUSTED_PROXIES", "REDIS_URL", "MAIL_USE_TLS", "WEBHOOK_ALLOWED_NETWORKS"),
        *("RETRY_SCHEDULE", "FORM_RATE_LIMIT", "WORKER_SLOTS", "SECRET_KEY", "ENCRYPTION_KEYS"),
    ]
    assert not list(tmp_path.iterdir()), "a start that fails leaves nothing behind"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("PORT", value) for value in ("0", "65536", "80.5", "eighty", "٣٣", "-1", "9" * 5000)),
        ("RECEIVER_PORT", "8000"),
        *(("TRUSTED_PROXIES", value) for value in ("one", "1.5", "-1")),
        *(("PUBLIC_URL", value) for value in ("example.com", "ftp://example.com", "https://", "http://[::1")),
        *(("PUBLIC_URL", value) for value in ("https://a/?b", "https://a/b", "https://me@a", "http://a:99999")),
        *(("DATABASE_URL", value) for value in ("postgres://a/b", "mysql://a/b", "sqlite://", "sqlite:///")),
        *(("DATABASE_URL", value) for value in ("postgresql+psycopg://a:b/c", "postgresql+psycopg://a")),
        *(("REDIS_URL", value) for value in ("localhost:6379", "redis://a:b", "redis://a:99999", "http://a")),
        *(("OWNER_EMAIL", value) for value in ("owner", "owner@", "a b@example.com", "Ann <a@example.com>")),
        *(("MAIL_PORT", value) for value in ("smtp", "0")),
        *(("MAIL_USE_SSL", value) for value in ("2", "ja")),
        *(("MAIL_DEFAULT_SENDER", value) for value in ("nonsense", "Leadhook", "Leadhook <unknown>")),
        *(("WEBHOOK_ALLOWED_NETWORKS", value) for value in ("localhost", "10.0.0.0/33", "10.0.0.1/8", "::1/129")),
        *(("WEBHOOK_CONNECT_TIMEOUT", value) for value in ("0", "-1", "nan", "inf", "five", "16")),
        *(("WEBHOOK_LOOKUP_TIMEOUT", value) for value in ("0", "-1", "nan", "inf", "five", "16")),
        *(("WEBHOOK_NAT64_PREFIX", value) for value in ("64:ff9b::", "10.0.0.0/8", "64:ff9b::/95", "2001:db8::1/96")),
        *(("WEBHOOK_NAT64_PREFIX", value) for value in ("2001:db8:1:2:100::/96", "nat64", "64:ff9b::/96,fd00::/96")),
        *(("WEBHOOK_DEADLINE", value) for value in ("0", "1e9")),
        *(("RETRY_SCHEDULE", value) for value in ("5,", ",", "5;300", "5,-1", "5,nan")),
        *(("REPORT_WINDOW", value) for value in ("0", "x")),
        *(("FORM_RATE_LIMIT", value) for value in ("thirty", "30", "per minute")),
        *((name, value) for name in ("WORKER_PROCESSES", "WORKER_SLOTS") for value in ("0", "x", "1.5")),
        ("WEBHOOK_CA_FILE", "/nowhere/ca.pem"),
        ("SECRET_KEY", "short"),
        *(("ENCRYPTION_KEYS", value) for value in ("short", f"{KEY},x", "é" * 44, ",")),
    ],
)
def test_a_bad_value_is_named(tmp_path: Path, name: str, value: str) -> None:
    given = {**ON_SERVERS, name: value}
    found = mistakes(tmp_path, **given)
    assert len(found) == 1, found
    assert found[0].startswith(f"{name}: "), found


@pytest.mark.parametrize("name", ["DATABASE_URL", "REDIS_URL", "ENCRYPTION_KEYS", "SECRET_KEY"])
def test_a_mistake_quotes_no_secret(tmp_path: Path, name: str) -> None:
    secret = "hunter2:" if name.endswith("URL") else "hunter2"
    value = {"DATABASE_URL": "postgresql+psycopg://u:hunter2@h:x/n", "REDIS_URL": "redis://:hunter2@h:x/0"}.get(name)
    assert secret not in "".join(mistakes(tmp_path, **{**ON_SERVERS, name: value or "hunter2"}))


def test_a_config_that_is_printed_shows_no_secret(tmp_path: Path) -> None:
    config = load(tmp_path, **ON_SERVERS, OWNER_PASSWORD="hunter2", MAIL_PASSWORD="hunter3")
    for secret in (ON_SERVERS["SECRET_KEY"], KEY, "pa%2Fss", "hunter"):
        assert secret not in f"{config} {config!r}"


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        ("MAIL_USE_TLS", "Yes", True),
        ("MAIL_USE_TLS", "0", False),
        ("WEBHOOK_DEADLINE", " 20 ", 20.0),
        ("RETRY_SCHEDULE", "1, 2.5", (1.0, 2.5)),
        ("FORM_RATE_LIMIT", "5 per second; 100 per day", "5 per second; 100 per day"),
        ("OWNER_EMAIL", "Ann@Example.COM", "ann@example.com"),
        ("MAIL_DEFAULT_SENDER", "Leads <leads@example.com>", "Leads <leads@example.com>"),
        ("PUBLIC_URL", "http://[::1]:8000", "http://[::1]:8000"),
        ("REDIS_URL", "unix:///run/redis.sock?db=3", "unix:///run/redis.sock?db=3"),
    ],
)
def test_a_good_value_is_read(tmp_path: Path, name: str, value: str, read: Any) -> None:
    assert getattr(load(tmp_path, **{**ON_SERVERS, name: value}), name.lower().replace("webhook_", "")) == read


def test_given_networks_replace_the_default(tmp_path: Path) -> None:
    config = load(tmp_path, WEBHOOK_ALLOWED_NETWORKS="10.0.0.0/8, fd00::/8")
    assert config.allowed_networks == (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
    nothing = load(tmp_path, WEBHOOK_ALLOWED_NETWORKS="")
    assert (nothing.allowed_networks, nothing.allowed_networks_given) == ((), True)


def test_an_empty_rate_limit_turns_it_off(tmp_path: Path) -> None:
    assert load(tmp_path, FORM_RATE_LIMIT="").form_rate_limit == ""


def test_an_empty_value_counts_as_unset(tmp_path: Path) -> None:
    config = load(tmp_path, PORT="", PUBLIC_URL=" ", REDIS_URL="", DATABASE_URL="", OWNER_PASSWORD="", SECRET_KEY="")
    assert config == load(tmp_path)


def test_a_name_ending_in_file_reads_a_secret_from_that_file(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("from a file\n")
    given = {"OWNER_PASSWORD_FILE": str(tmp_path / "password")}
    assert load(tmp_path, **given).owner_password == "from a file"
    assert load(tmp_path, OWNER_PASSWORD="", **given).owner_password == "from a file"
    assert load(tmp_path, OWNER_PASSWORD="given", **given).owner_password == "given"


def test_a_secret_file_that_cannot_be_read_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    assert mistakes(tmp_path, MAIL_PASSWORD_FILE=str(tmp_path / "none")) == [
        f"MAIL_PASSWORD_FILE: {tmp_path}/none cannot be read (No such file or directory)"
    ]
    assert len(mistakes(tmp_path, REDIS_URL_FILE=str(tmp_path / "binary"))) == 1


@pytest.mark.parametrize("content", [b"", b"not a certificate\n", b"-----BEGIN CERTIFICATE-----\n", b"\x30\x82\xff"])
def test_a_ca_file_without_certificates_is_a_mistake(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "ca.pem").write_bytes(content)
    found = mistakes(tmp_path, WEBHOOK_CA_FILE=str(tmp_path / "ca.pem"))
    assert found == [f"WEBHOOK_CA_FILE: {tmp_path}/ca.pem holds no certificates in PEM, or a broken one"]


def test_keys_are_made_once_and_stored_for_the_owner_only(tmp_path: Path) -> None:
    first, second = load(tmp_path / "home"), load(tmp_path / "home")
    assert (first.secret_key, first.encryption_keys) == (second.secret_key, second.encryption_keys)
    for name in ("secret_key", "encryption_keys"):
        assert stat.S_IMODE((tmp_path / "home" / name).stat().st_mode) == 0o600
    assert sorted(path.name for path in (tmp_path / "home").iterdir()) == ["encryption_keys", "secret_key"]


@pytest.mark.parametrize("name", ["DATABASE_URL", "REDIS_URL"])
def test_keys_must_be_given_if_the_installation_is_not_on_one_machine(tmp_path: Path, name: str) -> None:
    found = mistakes(tmp_path / "home", **{name: ON_SERVERS[name]})
    assert [mistake.partition(":")[0] for mistake in found] == ["SECRET_KEY", "ENCRYPTION_KEYS"]
    assert not (tmp_path / "home").exists()


def test_several_encryption_keys_keep_their_order(tmp_path: Path) -> None:
    older = Fernet.generate_key().decode()
    assert load(tmp_path, ENCRYPTION_KEYS=f"{KEY}, {older}").encryption_keys == (KEY, older)


def test_a_home_that_cannot_be_written_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert mistakes(tmp_path / "file") == [f"LEADHOOK_HOME: {tmp_path}/file cannot be used (File exists)"]


@pytest.mark.parametrize(
    ("home", "why"),
    [
        ("/proc/leadhook", "No such file or directory"),
        ("/dev/null/leadhook", "Not a directory"),
        ("/dev/null", "File exists"),
        (f"/tmp/{'x' * 300}", "File name too long"),
        ("/tmp/loop/leadhook", "Too many levels of symbolic links"),
    ],
)
def test_a_home_that_cannot_be_made_is_a_mistake_also_where_everything_is_on_servers(
    tmp_path: Path, home: str, why: str
) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    home = home.replace("/tmp", str(tmp_path))
    config = load(Path(home), **ON_SERVERS)
    before = os.umask(0o077)
    try:
        with pytest.raises(ConfigError) as raised:
            create_app(config)
    finally:
        os.umask(before)
    assert str(raised.value) == f"Leadhook cannot start:\n- LEADHOOK_HOME: {home} cannot be used ({why})"


@pytest.mark.parametrize("program", [["worker.py"], ["-m", "gunicorn", "webapp:create_app()"], ["-m", "webapp.run"]])
def test_each_program_says_so_without_a_traceback(program: list[str], tmp_path: Path) -> None:
    environ = {**os.environ, **ON_SERVERS, "LEADHOOK_HOME": "/dev/null/leadhook"}
    with (tmp_path / "said").open("wb") as said:
        started = forking().start(program, ROOT, environ, stderr=said.fileno())
    assert started.wait(timeout=60) == 1
    printed = (tmp_path / "said").read_text()
    assert printed.strip().endswith("- LEADHOOK_HOME: /dev/null/leadhook cannot be used (Not a directory)")
    assert "Traceback" not in printed


def test_a_short_deadline_shortens_the_time_for_connecting(tmp_path: Path) -> None:
    assert load(tmp_path, WEBHOOK_DEADLINE="2").connect_timeout == 2
    assert load(tmp_path, WEBHOOK_DEADLINE="2").lookup_timeout == 2
    assert mistakes(tmp_path, WEBHOOK_DEADLINE="2", WEBHOOK_LOOKUP_TIMEOUT="2.5") == [
        "WEBHOOK_LOOKUP_TIMEOUT: cannot be longer than WEBHOOK_DEADLINE"
    ]
    assert mistakes(tmp_path, WEBHOOK_DEADLINE="2", WEBHOOK_CONNECT_TIMEOUT="3") == [
        "WEBHOOK_CONNECT_TIMEOUT: cannot be longer than WEBHOOK_DEADLINE"
    ]


def test_tls_and_ssl_exclude_each_other(tmp_path: Path) -> None:
    found = mistakes(tmp_path, MAIL_USE_TLS="1", MAIL_USE_SSL="1")
    assert found == ["MAIL_USE_TLS, MAIL_USE_SSL: only one of them can be on"]


def test_a_given_redis_on_a_unix_socket_is_not_the_embedded_one(tmp_path: Path) -> None:
    assert not load(tmp_path, **{**ON_SERVERS, "REDIS_URL": "unix:///run/redis.sock"}).embedded_redis


def test_the_environment_wins_over_the_dotenv_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text(f"LEADHOOK_HOME={tmp_path}\nPORT=8100\nRECEIVER_PORT=8200\n")
    monkeypatch.setenv("PORT", "8300")
    monkeypatch.delenv("RECEIVER_PORT", raising=False)
    config = Config.load(dotenv=str(tmp_path / ".env"))
    assert (config.port, config.receiver_port, config.home) == (8300, 8200, tmp_path)


def test_a_relative_home_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load(Path("some where")).home == tmp_path / "some where"


def test_the_socket_is_elsewhere_if_the_home_path_is_too_long(tmp_path: Path) -> None:
    long = tmp_path / ("x" * 120)
    assert len(os.fsencode(valkey_socket(long))) <= UNIX_SOCKET_LIMIT
    assert valkey_socket(long) == valkey_socket(long)
    assert valkey_socket(long) != valkey_socket(tmp_path / ("y" * 120))
    assert valkey_socket(Path("/var/leadhook")) == Path("/var/leadhook/valkey.sock")


def test_a_new_home_directory_is_private(tmp_path: Path) -> None:
    load(tmp_path / "home")
    assert stat.S_IMODE((tmp_path / "home").stat().st_mode) == 0o700


BUCKET = {"FILES_BUCKET": "leadhook-files", "FILES_REGION": "eu-central-1"}


def test_files_are_in_the_home_or_in_a_bucket(tmp_path: Path) -> None:
    assert (load(tmp_path).files_bucket, load(tmp_path).files_max_mb) == (None, 50)
    secret = tmp_path / "secret"
    secret.write_text("shh\n")
    keys = {"FILES_ACCESS_KEY": "ours", "FILES_SECRET_KEY_FILE": str(secret)}
    config = load(tmp_path, **BUCKET, **keys, FILES_ENDPOINT="https://s3.example.com/", FILES_MAX_MB="5")
    assert (config.files_bucket, config.files_endpoint) == ("leadhook-files", "https://s3.example.com")
    assert (config.files_secret_key, config.files_max_mb) == ("shh", 5)
    assert "shh" not in repr(config)


@pytest.mark.parametrize(
    ("environ", "mistake"),
    [
        ({"FILES_BUCKET": "Not A Bucket"}, "FILES_BUCKET: 'Not A Bucket' is not the name of a bucket"),
        ({**BUCKET, "FILES_ENDPOINT": "s3.example.com"}, "FILES_ENDPOINT: 's3.example.com' is not an address"),
        ({"FILES_REGION": "eu"}, "FILES_BUCKET: must be given if FILES_REGION is set"),
        ({"FILES_SECRET_KEY": "shh"}, "FILES_BUCKET: must be given if FILES_SECRET_KEY is set"),
        ({**BUCKET, "FILES_ACCESS_KEY": "ours"}, "FILES_ACCESS_KEY, FILES_SECRET_KEY: give both or neither"),
        ({"FILES_MAX_MB": "0"}, "FILES_MAX_MB: must be from 1 to 2000, in megabytes"),
        ({"FILES_MAX_MB": "2.5"}, "FILES_MAX_MB: '2.5' is not a whole number of 0 or more"),
    ],
)
def test_a_mistake_in_the_names_of_files_is_reported_with_the_others(
    tmp_path: Path, environ: dict[str, str], mistake: str
) -> None:
    first, other = sorted(mistakes(tmp_path, PORT="x", **environ))
    assert first.startswith(mistake)
    assert other.startswith("PORT:")


@pytest.mark.parametrize(
    "token",
    ["short", "fifteen-letters", "with spaces in it 1", "söme-letters-of-others", "a" * 15, "x" * 20 + "\n" + "y"],
)
def test_a_bad_metrics_token_is_listed_with_the_other_mistakes(tmp_path: Path, token: str) -> None:
    found = mistakes(tmp_path, METRICS_TOKEN=token, PORT="x")
    assert [mistake.partition(":")[0] for mistake in found] == ["PORT", "METRICS_TOKEN"]
    assert token not in found[1]


@pytest.mark.parametrize("token", ["a" * 16, "Zm9v-._~+/=bar12345"])
def test_a_metrics_token_is_read_also_from_a_file(tmp_path: Path, token: str) -> None:
    assert load(tmp_path).metrics_token is None
    assert load(tmp_path, METRICS_TOKEN=token).metrics_token == token
    (tmp_path / "token").write_text(f"{token}\n")
    config = load(tmp_path, METRICS_TOKEN_FILE=str(tmp_path / "token"))
    assert config.metrics_token == token
    assert token not in repr(config)
