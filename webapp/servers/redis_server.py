"""The Redis that REDIS_URL names: how to connect to it, whether it can be used, and what is wrong in its own words.

Leadhook needs one server that takes writes; a Sentinel may say which one that is now. A replica answers PING, and so
does a node of a Cluster: only a write finds out.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from redis import ConnectionPool, Redis
from redis.backoff import NoBackoff
from redis.commands.core import Script
from redis.connection import parse_url
from redis.driver_info import DriverInfo
from redis.exceptions import NoScriptError, RedisError, ResponseError
from redis.retry import Retry
from redis.sentinel import Sentinel

SENTINEL = "redis+sentinel://"
SENTINEL_PORT = 26379
SENTINEL_OPTIONS = ("sentinel_username", "sentinel_password", "ssl", "ssl_ca_certs", "ssl_cert_reqs")
FORBIDDEN = ("decode_responses", "encoding", "encoding_errors", "single_connection_client")
SOCKET_OPTIONS = ("socket_timeout", "socket_connect_timeout", "socket_keepalive", "retry_on_timeout")
# All that redis-py can use from a URL. Others, such as `redis_connect_func` or `retry`, must be objects: with a text it
# fails only when it connects.
OPTIONS = frozenset(
    (
        *("db", "username", "password", "protocol", "client_name", "lib_name", "lib_version", "health_check_interval"),
        *(*SOCKET_OPTIONS, "max_connections", "ssl_keyfile", "ssl_certfile", "ssl_password", "ssl_cert_reqs"),
        *("ssl_ca_certs", "ssl_ca_data", "ssl_ca_path", "ssl_check_hostname", "ssl_ciphers"),
        *("ssl_include_verify_flags", "ssl_exclude_verify_flags"),
    )
)
# What a connection says about its client. Of itself, redis-py reads its version from its package's files each time that
# it makes a connection.
DRIVER = DriverInfo()
PROBED = ("leadhook:probe", "leadhook:probe:2")  # two slots of a Cluster, which refuses to change both at once
_A_CLUSTER = "REDIS_URL leads to a Redis Cluster, which cannot be used. Use one server, or one behind Sentinel."
_A_PASSWORD = "Check the user and the password in REDIS_URL."
ADVICE = {
    "READONLY": "REDIS_URL leads to a replica. Use the primary's address, or redis+sentinel://.",
    **dict.fromkeys(("MOVED", "ASK", "CROSSSLOT", "CLUSTERDOWN"), _A_CLUSTER),
    **dict.fromkeys(("NOAUTH", "WRONGPASS"), _A_PASSWORD),
    "NOPERM": "Give the user in REDIS_URL the commands +@read +@write +@connection and the keys ~rq:* ~leadhook:*.",
    "OOM": "Redis is full. Give it more memory.",
}


class SentinelUrl(NamedTuple):
    """What redis+sentinel://user:password@host:port,host:port/service/db?option=… says."""

    hosts: tuple[tuple[str, int], ...]
    service: str
    of_server: dict[str, Any]
    of_sentinel: dict[str, Any]


def checked(url: str) -> str:
    """The URL; ValueError with the reason where redis-py, or Leadhook with redis-py, cannot use it."""
    if url.startswith(SENTINEL):
        _sentinel_url(url)
        return url
    if not url.startswith(("redis://", "rediss://", "unix://")):
        raise ValueError("must begin with redis://, rediss://, unix:// or redis+sentinel://")
    try:
        options = parse_url(url)  # type: ignore[no-untyped-call]
    except ValueError:
        raise ValueError("is not a Redis URL such as redis://:password@host:6379/0") from None
    if url.startswith("unix://") and str(options.get("protocol")) == "3":
        raise ValueError("cannot have the option protocol=3: with it, redis-py connects to a host only")
    for name in FORBIDDEN:
        if name in options:
            raise ValueError(f"cannot have the option {name}: Leadhook reads the answers of Redis as bytes")
    names = (name for name, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True))
    if unknown := sorted(set(names) - OPTIONS):
        raise ValueError(f"has an option that a URL cannot have: {unknown[0]}")
    try:
        ConnectionPool.from_url(url).make_connection()  # opens no socket
    except (TypeError, ValueError, RedisError):
        raise ValueError("has an option that redis-py does not know, or a value that it does not take") from None
    return url


def connect(url: str, **options: Any) -> Redis:
    """A client of the server. Opens no connection yet. With Sentinel, each new connection asks which server it is.

    A Sentinel that does not answer is asked once more at once, then the next one is.
    """
    if not url.startswith(SENTINEL):
        return Redis.from_url(url, **_driver(url), **options)
    found = _sentinel_url(url)
    waits: dict[str, Any] = {n: options[n] for n in ("socket_timeout", "socket_connect_timeout") if n in options}
    of_sentinel = {"socket_timeout": 1.0, "driver_info": DRIVER, "retry": _at_once(), **waits, **found.of_sentinel}
    sentinel = Sentinel(found.hosts, sentinel_kwargs=of_sentinel)  # type: ignore[no-untyped-call]
    options = {"driver_info": DRIVER, **found.of_server, **options}
    return sentinel.master_for(found.service, **options)  # type: ignore[no-untyped-call, no-any-return]


def _at_once() -> Retry:
    """Of a Sentinel. By itself, redis-py waits some seconds for one that is away, and then asks the next one."""
    return Retry(NoBackoff(), 1)


def _driver(url: str) -> dict[str, Any]:
    """Nothing where the URL names the client itself."""
    names = dict(parse_qsl(urlsplit(url).query))
    return {} if {"lib_name", "lib_version"} & names.keys() else {"driver_info": DRIVER}


def storage_of_limits(url: str) -> tuple[str, dict[str, Any]]:
    """The same server as the library `limits` wants it: a URI, and options besides."""
    if not url.startswith(SENTINEL):
        return url.replace("unix://", "redis+unix://"), _driver(url)
    found = _sentinel_url(url)
    hosts = ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in found.hosts)
    waits = {"socket_timeout": 0.2, "socket_connect_timeout": 0.2}
    options = {
        "use_replicas": False,
        "sentinel_kwargs": {"retry": _at_once(), **waits, **found.of_sentinel},
        **found.of_server,
    }
    return f"{SENTINEL}{hosts}/{found.service}", options


# Conversations -------------------------------------------------------------------------------------------------------

Command = Sequence[str | int | float]


def converse(redis: Redis, *commands: Command) -> list[Any]:
    """The answers to these commands, sent together, as the protocol has them. Raises what a pipeline of redis-py does.

    Each post has two such conversations. Pipelines and scripts of redis-py take almost twice the processor time.
    """
    pool = redis.connection_pool
    connection: Any = pool.get_connection()  # one that the server closed meanwhile is opened again
    try:
        answers: list[Any] = connection.retry.call_with_retry(
            lambda: _answers(connection, commands), lambda error: connection.disconnect()
        )
        return answers
    finally:
        pool.release(connection)


def run(script: Script, *calls: tuple[str, *tuple[str | float, ...]]) -> list[Any]:
    """What a script with one key answers to each of these calls: a key, then arguments. They are sent together. A
    server that does not know the script, because it was started again, is given it."""
    try:
        return converse(script.registered_client, *(("EVALSHA", script.sha, 1, *call) for call in calls))
    except NoScriptError:
        return [script([key], arguments) for key, *arguments in calls]


def without_scores(answer: Sequence[Any]) -> Sequence[Any]:
    """The members that ZPOPMIN with a count answers. Version 3 of the protocol gives pairs, version 2 one flat list."""
    return [member for member, _ in answer] if answer and isinstance(answer[0], list) else answer[::2]


def _answers(connection: Any, commands: Sequence[Command]) -> list[Any]:
    """All are read before an error among them is raised: an answer that is left would be the next command's."""
    connection.send_packed_command([_packed(commands)])
    found, errors = list[Any](), list[ResponseError]()
    for _ in commands:
        try:
            found.append(connection.read_response(disconnect_on_error=True))
        except ResponseError as error:
            errors.append(error)
    if errors:
        raise errors[0]
    return found


def _packed(commands: Sequence[Command]) -> bytes:
    """In the form of the protocol: arrays of texts. redis-py takes twice as long for it."""
    parts = []
    for command in commands:
        parts.append(b"*%d\r\n" % len(command))
        for argument in command:
            text = str(argument).encode()
            parts.append(b"$%d\r\n%b\r\n" % (len(text), text))
    return b"".join(parts)


# Whether it can be used ----------------------------------------------------------------------------------------------


def probe(redis: Redis) -> None:
    """Writes what expires at once; a RedisError or an OSError where the server cannot be used."""
    redis.set(PROBED[0], 1, ex=60)
    redis.delete(*PROBED)


def answers(error: BaseException) -> bool:
    """Whether the error is an answer of the server, so that it is there, but not of use."""
    return bool(code_of(error)) or str(error).startswith("unknown command")


def code_of(error: BaseException) -> str:
    """The word that a server's error begins with, such as READONLY; empty for other errors."""
    return getattr(error, "status_code", None) or ""


def reason(error: BaseException) -> str:
    """What is wrong in the server's own words, or the system's, and what to do where that is known."""
    code = code_of(error)
    words = " ".join(f"{code} {error}".split())
    if words.startswith("unknown command"):
        advice = (
            "REDIS_URL leads to a Sentinel, or to no Redis at all. For Sentinel: redis+sentinel://host:26379/service."
        )
    else:
        advice = ADVICE.get(code, "")
    return f"{words or type(error).__name__} {f'({advice})' if advice else ''}".strip()


def without_traceback(record: logging.LogRecord) -> bool:
    """A filter of a log: a RedisError is one line, its reason."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, RedisError):
        record.msg, record.args, record.exc_info = f"{record.getMessage()} {reason(error)}", (), None
    return True


def _sentinel_url(url: str) -> SentinelUrl:
    parts = urlsplit(url)
    login, _, places = parts.netloc.rpartition("@")
    path = [unquote(part) for part in parts.path.strip("/").split("/")]
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    database = path[1] if len(path) == 2 else "0"
    if not path[0] or len(path) > 2 or not (database.isascii() and database.isdigit()) or parts.fragment:
        raise ValueError("must be like redis+sentinel://host:26379,host:26379/service or …/service/0")
    if unknown := sorted(set(query) - set(SENTINEL_OPTIONS)):
        raise ValueError(f"has an option that redis+sentinel:// does not take: {unknown[0]}")
    server = {"db": int(database), **_tls(query), **_login(login)}
    sentinel = {name: query[f"sentinel_{name}"] for name in ("username", "password") if f"sentinel_{name}" in query}
    return SentinelUrl(tuple(map(_place, places.split(","))), path[0], server, {**_tls(query), **sentinel})


def _login(text: str) -> dict[str, str]:
    user, _, password = text.partition(":")
    return {name: unquote(value) for name, value in (("username", user), ("password", password)) if value}


def _tls(query: Mapping[str, str]) -> dict[str, Any]:
    on = query.get("ssl", "false").lower()
    if on not in ("true", "false"):
        raise ValueError("ssl must be true or false")
    return {"ssl": True, **{n: v for n, v in query.items() if n.startswith("ssl_")}} if on == "true" else {}


def _place(text: str) -> tuple[str, int]:
    try:
        place = urlsplit(f"//{text}")
        host, port = place.hostname, place.port
    except ValueError:
        host, port = None, None
    if not host or "@" in text or port == 0:
        raise ValueError("must name each Sentinel as host or host:port, separated by commas")
    return host, port or SENTINEL_PORT
