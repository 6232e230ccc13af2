"""Kinds of Redis that Leadhook cannot use look it, and say why; one behind Sentinel survives a failover."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.conftest import METRICS_TOKEN, AppMaker
from tests.support.factories import ADA
from tests.support.receiver import free_port
from tests.support.tls import Authority
from tests.support.valkey import ValkeyOnPort
from tests.support.waiting import wait_until
from webapp.db.transactions import transaction
from webapp.delivery.rings import queues
from webapp.extensions import db
from webapp.models import Interface, Lead
from webapp.servers import redis_server

Start = Callable[..., ValkeyOnPort]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts servers, which end with the test."""
    servers: list[ValkeyOnPort] = []

    def begin(*options: str, password: str | None = None, watches: ValkeyOnPort | None = None) -> ValkeyOnPort:
        servers.append(ValkeyOnPort(tmp_path / "valkey", *options, password=password, watches=watches))
        return servers[-1].start()

    yield begin
    for server in servers:
        server.stop()


def replica(start: Start) -> str:
    return start("--replicaof", f"127.0.0.1 {start().port}").url


def demoted_primary(start: Start) -> str:
    server = start()
    server.ask("REPLICAOF", "127.0.0.1", str(start().port))
    return server.url


def cluster_of_one(start: Start) -> str:
    node = start("--cluster-enabled", "yes", "--cluster-port", str(free_port()))
    node.ask("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
    wait_until(lambda: b"cluster_state:ok" in node.ask("CLUSTER", "INFO"), "the cluster")
    return node.url


def node_of_a_larger_cluster(start: Start) -> str:
    """It has a third of the slots; the others are of a node that is away."""
    node = start(
        "--cluster-enabled", "yes", "--cluster-port", str(free_port()), "--cluster-require-full-coverage", "no"
    )
    node.ask("CLUSTER", "ADDSLOTSRANGE", "0", "5460")
    return node.url


def sentinel_itself(start: Start) -> str:
    return start(watches=start()).url


def password_missing(start: Start) -> str:
    return f"redis://127.0.0.1:{start(password='secret-of-the-test').port}"


def password_wrong(start: Start) -> str:
    return f"redis://:wrong@127.0.0.1:{start(password='secret-of-the-test').port}"


def user_that_only_reads(start: Start) -> str:
    server = start()
    server.ask("ACL", "SETUSER", "reader", "on", ">secret", "~*", "+@read", "+@connection")
    return f"redis://reader:secret@127.0.0.1:{server.port}"


def memory_is_full(start: Start) -> str:
    return start("--maxmemory", "1", "--maxmemory-policy", "noeviction").url


def no_such_database(start: Start) -> str:
    return f"{start('--databases', '1').url}/5"


def nothing_there(start: Start) -> str:
    return f"redis://127.0.0.1:{free_port()}"


def tls_asked_of_a_server_without(start: Start) -> str:
    return start().url.replace("redis://", "rediss://")


# The kind, what /readyz says, and words of the server that the log must have.
KINDS = [
    (replica, "unusable", "READONLY"),
    (demoted_primary, "unusable", "READONLY"),
    (cluster_of_one, "unusable", "CROSSSLOT"),
    (node_of_a_larger_cluster, "unusable", "CLUSTERDOWN"),
    (sentinel_itself, "unusable", "unknown command"),
    (password_missing, "unusable", "NOAUTH"),
    (password_wrong, "unusable", "WRONGPASS"),
    (user_that_only_reads, "unusable", "NOPERM"),
    (memory_is_full, "unusable", "OOM"),
    (no_such_database, "unusable", "DB index is out of range"),
    (nothing_there, "away", "Connection refused"),
    (tls_asked_of_a_server_without, "away", "Timeout connecting"),
]


@pytest.mark.parametrize(("kind", "state", "words"), KINDS, ids=lambda each: getattr(each, "__name__", None))
def test_a_redis_that_cannot_be_used_looks_it_and_the_log_says_why(
    make_app: AppMaker, interface: Interface, start: Start, kind: Callable[[Start], str], state: str, words: str
) -> None:
    client = make_app(REDIS_URL=kind(start)).test_client()
    with capture_logs() as logged:
        assert client.post(f"/f/{interface.public_id}", json=ADA).status_code == 201, "leads are captured without it"
        answer = client.get("/readyz")
        metrics = client.get("/metrics", headers={"Authorization": f"Bearer {METRICS_TOKEN}"}).text
    assert answer.json
    assert (answer.status_code, answer.json["status"], answer.json["redis"]) == (200, "degraded", state)
    assert "leadhook_redis_up 0.0" in metrics
    reasons = [entry["reason"] for entry in logged if entry["event"].startswith("Redis cannot be used")]
    assert any(words in reason for reason in reasons), reasons
    assert not any("secret" in reason or "\n" in reason for reason in reasons)


@pytest.mark.parametrize("kind", [cluster_of_one, node_of_a_larger_cluster])
def test_a_cluster_is_refused_with_a_sentence(make_app: AppMaker, start: Start, kind: Callable[[Start], str]) -> None:
    app = make_app(REDIS_URL=kind(start))
    with app.app_context():
        assert queues.state() == "unusable"
        assert "leads to a Redis Cluster, which cannot be used" in queues.trouble.reason


def test_an_unknown_authority_is_named(make_app: AppMaker, tmp_path: Path) -> None:
    """TLS before a server, as a managed Redis has it, with a certificate that the system does not know."""
    with tls_server(Authority(tmp_path).valid()) as port:
        app = make_app(REDIS_URL=f"rediss://127.0.0.1:{port}")
        with app.app_context():
            assert queues.state() == "away"
            assert "CERTIFICATE_VERIFY_FAILED" in queues.trouble.reason


def test_a_server_that_wants_tls_is_away(make_app: AppMaker, tmp_path: Path) -> None:
    with tls_server(Authority(tmp_path).valid()) as port:
        app = make_app(REDIS_URL=f"redis://127.0.0.1:{port}")
        with app.app_context():
            assert queues.state() == "away"
            assert any(words in queues.trouble.reason for words in ("closed by server", "reset by peer"))


def test_what_comes_back_is_used_again_and_said(make_app: AppMaker, start: Start) -> None:
    primary = start()
    server = start("--replicaof", f"127.0.0.1 {primary.port}")
    app = make_app(REDIS_URL=server.url)
    with app.app_context(), capture_logs() as logged:
        assert [queues.state() for _ in range(3)] == ["unusable"] * 3
        server.ask("REPLICAOF", "NO", "ONE")
        assert [queues.state() for _ in range(2)] == ["ok"] * 2
    assert [entry["event"] for entry in logged] == [
        "Redis cannot be used; the sweep queues the jobs later",
        "Redis can be used again",
    ]


@pytest.mark.parametrize(
    "rights",
    [
        ("~*", "+@all"),
        ("~rq:*", "~leadhook:*", "+@read", "+@write", "+@connection", "+@transaction"),
        ("~*", "+@all", "-@admin", "-@dangerous"),
    ],
)
def test_a_user_with_few_rights_is_enough(make_app: AppMaker, start: Start, rights: tuple[str, ...]) -> None:
    server = start()
    server.ask("ACL", "SETUSER", "leadhook", "on", ">secret", *rights)
    app = make_app(REDIS_URL=f"redis://leadhook:secret@127.0.0.1:{server.port}")
    with app.app_context():
        assert queues.state() == "ok", queues.trouble.reason


# Behind Sentinel -----------------------------------------------------------------------------------------------------


def test_after_a_failover_the_new_primary_is_used(make_app: AppMaker, start: Start, interface: Interface) -> None:
    primary = start()
    second = start("--replicaof", f"127.0.0.1 {primary.port}")
    watcher = start(watches=primary)
    wait_until(lambda: watcher.ask("SENTINEL", "REPLICAS", "leads"), "Sentinel to find the replica")
    app = make_app(REDIS_URL=f"redis+sentinel://127.0.0.1:{watcher.port}/leads/0")
    client = app.test_client()
    assert client.get("/readyz").json["redis"] == "ok"  # type: ignore[index]
    primary.stop()
    with app.app_context():
        wait_until(lambda: queues.state() == "ok", "the failover", timeout=30, every=0.1)
        assert second.ask("ROLE")[0] == b"master"
        queues.redis.set("leadhook:test", 1)
        assert second.ask("GET", "leadhook:test") == b"1"
    assert client.post(f"/f/{interface.public_id}", json=ADA).status_code == 201
    assert count_leads() == 1


def test_the_rate_limit_and_the_dashboard_use_sentinel_too(
    make_app: AppMaker, start: Start, interface: Interface
) -> None:
    primary = start()
    app = make_app(
        REDIS_URL=f"redis+sentinel://127.0.0.1:{start(watches=primary).port}/leads", FORM_RATE_LIMIT="2 per minute"
    )
    client = app.test_client()
    codes = [client.post(f"/f/{interface.public_id}", json=ADA).status_code for _ in range(3)]
    assert codes == [201, 201, 429]
    assert primary.ask("DBSIZE") > 0, "it was counted there"
    assert app.redis_conn.ping()  # type: ignore[attr-defined]


@pytest.mark.parametrize("service", ["other", "LEADS"])
def test_a_service_that_sentinel_does_not_know_is_away(make_app: AppMaker, start: Start, service: str) -> None:
    watcher = start(watches=start())
    app = make_app(REDIS_URL=f"redis+sentinel://127.0.0.1:{watcher.port}/{service}")
    with app.app_context():
        assert queues.state() == "away"
        assert f"No master found for {service!r}" in queues.trouble.reason


def test_one_of_several_sentinels_is_enough(make_app: AppMaker, start: Start, interface: Interface) -> None:
    """Nobody waits for the one that is away: the next one is asked at once."""
    watcher = start(watches=start())
    url = f"redis+sentinel://127.0.0.1:{free_port()},127.0.0.1:{watcher.port}/leads"
    app = make_app(REDIS_URL=url, FORM_RATE_LIMIT="1 per minute")
    client = app.test_client()
    began = time.monotonic()
    with app.app_context():
        assert queues.state() == "ok", queues.trouble.reason
        assert queues.of_worker.ping()
    assert [client.post(f"/f/{interface.public_id}", json=ADA).status_code for _ in range(2)] == [201, 429]
    assert time.monotonic() - began < 1  # redis-py waits for one second and more, and then longer, three times


# REDIS_URL -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "hosts", "of_server", "of_sentinel"),
    [
        ("redis+sentinel://s1/leads", (("s1", 26379),), {"db": 0}, {}),
        ("redis+sentinel://s1:1,s2,s3:3/leads/7", (("s1", 1), ("s2", 26379), ("s3", 3)), {"db": 7}, {}),
        ("redis+sentinel://[::1]:5,h/leads", (("::1", 5), ("h", 26379)), {"db": 0}, {}),
        ("redis+sentinel://u:p%2Fs@s1/leads", (("s1", 26379),), {"db": 0, "username": "u", "password": "p/s"}, {}),
        ("redis+sentinel://s1/leads?sentinel_password=q", (("s1", 26379),), {"db": 0}, {"password": "q"}),
        ("redis+sentinel://s1/leads?ssl=true", (("s1", 26379),), {"db": 0, "ssl": True}, {"ssl": True}),
    ],
)  # fmt: skip
def test_a_sentinel_url_is_read(url: str, hosts: object, of_server: object, of_sentinel: object) -> None:
    found = redis_server._sentinel_url(url)
    assert (found.hosts, found.service, found.of_server, found.of_sentinel) == (hosts, "leads", of_server, of_sentinel)
    assert redis_server.checked(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://",
        "redis+sentinel://s1",
        "redis+sentinel://s1/",
        "redis+sentinel:///leads",
        "redis+sentinel://s1,,s2/leads",
        "redis+sentinel://s1:0/leads",
        "redis+sentinel://s1:70000/leads",
        "redis+sentinel://s1:x/leads",
        "redis+sentinel://s1/leads/x",
        "redis+sentinel://s1/leads/0/1",
        "redis+sentinel://s1/leads/²",
        "redis+sentinel://s1/leads?colour=red",
        "redis+sentinel://s1/leads?ssl=maybe",
        "redis+sentinel://s1/leads#x",
        "redis://h?decode_responses=true",
        "redis://h?decode_responses=false",
        "unix:///x.sock?decode_responses=1",
        "rediss://h?decode_responses=True",
        "redis://h?encoding=latin-1",
        "redis://h?single_connection_client=true",
        "redis://h?colour=red",
        "redis://h?redis_connect_func=x",
        "redis://h?retry=3",
        "redis://h?retry_on_error=x",
        "redis://h?credential_provider=x",
        "redis://h?parser_class=x",
        "redis://h?socket_read_size=65536",
        "redis://h?command_packer=x",
        "unix:///x.sock?driver_info=x",
        "unix:///x.sock?protocol=3",
        "rediss://h?ssl_min_version=TLSv1_3",
        "redis://h?socket_keepalive_options=x",
        "redis://h?connection_class=x",
        "redis://h?event_dispatcher=",
        "redis://h?socket_timeout=soon",
        "redis://h:x",
        "redis-cluster://h",
        "redis+cluster://h",
        "valkey://h",
        "h:6379",
    ],
)
def test_a_url_that_cannot_work_stops_the_start(make_app: AppMaker, url: str) -> None:
    with pytest.raises(Exception, match="- REDIS_URL: ") as refused:
        make_app(REDIS_URL=url)
    assert len(str(refused.value).splitlines()) == 2


@pytest.mark.parametrize(
    "url",
    [
        "redis://h",
        "redis://:p@h:6379/1",
        "rediss://u:p@h/0?ssl_cert_reqs=none",
        "redis://h?protocol=2",
        "redis://h?protocol=3",
        "redis://h?socket_timeout=5",
        "redis://h?health_check_interval=30",
        "redis://h?socket_keepalive=true",
        "redis://h?client_name=leads",
        "unix:///tmp/x.sock?db=3",
        "unix:///tmp/x.sock?protocol=2",
    ],
)
def test_other_options_are_taken(url: str) -> None:
    assert redis_server.checked(url) == url


def count_leads() -> int:
    db.session.rollback()
    with transaction():
        return db.session.query(Lead).count()


class tls_server:  # noqa: N801 - used like a function
    """A server that speaks TLS; what it does after the handshake does not matter."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._server = context.wrap_socket(socket.create_server(("127.0.0.1", 0)), server_side=True)

    def __enter__(self) -> int:
        threading.Thread(target=self._serve, daemon=True).start()
        return int(self._server.getsockname()[1])

    def _serve(self) -> None:
        while True:
            try:
                self._server.accept()[0].close()
            except ssl.SSLError:  # the client did not like the certificate
                continue
            except OSError:
                return

    def __exit__(self, *_: object) -> None:
        self._server.close()


def test_a_connection_is_made_without_reading_the_package_of_redis_py(monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(name: str) -> str:
        raise AssertionError("redis-py reads its version from files")

    monkeypatch.setattr("redis.utils.metadata.version", crash)
    redis_server.connect("redis://127.0.0.1:9/0").connection_pool.make_connection()
    url = "redis://127.0.0.1:9/0?lib_name=ours&lib_version=2.1"
    with pytest.warns(DeprecationWarning, match="lib_name"):
        named = redis_server.connect(url).connection_pool.make_connection()
    assert named.driver_info.formatted_name == "ours"
    assert named.driver_info.lib_version == "2.1"
