"""Web and workers as processes, on a Redis behind Sentinel whose primary is killed: every lead is delivered."""

from pathlib import Path

from flask import Flask

from tests.conftest import AppMaker
from tests.support.factories import ADA, point_at
from tests.support.receiver import Receiver
from tests.support.site import Site
from tests.support.valkey import ValkeyOnPort
from tests.support.waiting import wait_until
from webapp.extensions import db
from webapp.models import Interface


def test_leads_are_delivered_before_during_and_after_a_failover(
    make_app: AppMaker, interface: Interface, receiver: Receiver, tmp_path: Path
) -> None:
    point_at(interface, receiver.url)
    primary = ValkeyOnPort(tmp_path / "valkey").start()
    second = ValkeyOnPort(tmp_path / "valkey", "--replicaof", f"127.0.0.1 {primary.port}").start()
    watcher = ValkeyOnPort(tmp_path / "valkey", watches=primary).start()
    wait_until(lambda: watcher.ask("SENTINEL", "REPLICAS", "leads"), "Sentinel to find the replica")
    app: Flask = make_app(REDIS_URL=f"redis+sentinel://127.0.0.1:{watcher.port}/leads")
    form = f"/f/{interface.public_id}"
    db.session.rollback()
    site = Site(app.config["ENVIRON"])
    try:
        site.start()
        client = app.test_client()
        assert client.post(form, json=ADA).status_code == 201
        receiver.wait_for(1, timeout=60)
        primary.stop()
        assert [client.post(form, json=ADA).status_code for _ in range(3)] == [201] * 3
        receiver.wait_for(4, timeout=60)
        assert second.ask("ROLE")[0] == b"master"
        assert client.post(form, json=ADA).status_code == 201
        receiver.wait_for(5, timeout=10)
        assert site.stop_worker() == 0
    finally:
        site.stop()
        for server in (watcher, second, primary):
            server.stop()
