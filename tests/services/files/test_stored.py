"""Files in a bucket, from a post to their deletion, also while the bucket is down; and who deletes what, and when."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import func, select, update

from tests.conftest import PASSWORD, AppMaker
from tests.support.bucket import Bucket, running_bucket
from tests.support.factories import ADA
from tests.support.uploads import PDF, ask_for_files, multipart, part
from webapp.clock import utcnow
from webapp.db.transactions import transaction
from webapp.delivery.rings import MAIL, queues
from webapp.delivery.sweep import Sweep
from webapp.extensions import db
from webapp.models import File, Interface, Lead
from webapp.services.files import stored
from webapp.services.interfaces import interfaces
from webapp.services.leads import forgetting
from webapp.services.people import users

JSON = {"Accept": "application/json"}


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    with running_bucket() as running:
        yield running


@pytest.fixture
def app(make_app: AppMaker, bucket: Bucket) -> Iterator[Flask]:
    app = make_app(**bucket.environ)
    with app.app_context():
        yield app


@pytest.fixture
def interface(app: Flask) -> Interface:
    with transaction():
        owner = users.create_owner("alice@example.com", PASSWORD, "Brightwater Solar")
        interface = interfaces.create(owner.account_id, "Apply")
    ask_for_files(interface)
    return interface


def post(app: Flask, interface: Interface, **values: object) -> int:
    sent = multipart({**ADA, "cv": part(PDF, "cv.pdf"), **values})
    return app.test_client().post(f"/f/{interface.public_id}", **sent, headers=JSON).status_code


def count(model: type[File] | type[Lead]) -> int:
    return db.session.scalar(select(func.count()).select_from(model)) or 0


def make_old() -> None:
    with transaction():
        db.session.execute(update(File).values(created_at=utcnow() - timedelta(days=2)))


def test_a_file_goes_to_the_bucket_and_back_and_is_deleted_with_its_lead(
    app: Flask, bucket: Bucket, interface: Interface
) -> None:
    assert post(app, interface) == 201
    [key] = bucket.objects
    assert bucket.objects == {key: PDF}
    assert key.endswith(db.session.scalars(select(File.public_id)).one())
    url = db.session.scalars(select(Lead)).one().fields["cv"][0]["url"]
    assert app.test_client().get("/files/" + url.rpartition("/")[2]).data == PDF
    with transaction():
        interface.retention_days = 1
        db.session.execute(update(Lead).values(received_at=utcnow() - timedelta(days=2)))
    forgetting.forget()
    assert (count(Lead), count(File), bucket.objects) == (0, 0, {})


def test_a_bucket_that_is_down_takes_no_half_lead(app: Flask, bucket: Bucket, interface: Interface) -> None:
    bucket.is_down = True
    assert post(app, interface) == 503
    assert count(Lead) == 0
    assert post(app, interface, cv=part(b"", "")) == 201, "without a file nothing is asked of it"
    bucket.is_down = False
    assert post(app, interface) == 201


def test_a_download_while_the_bucket_is_down_is_a_503_in_words(
    app: Flask, bucket: Bucket, interface: Interface
) -> None:
    post(app, interface)
    path = "/files/" + db.session.scalars(select(Lead)).one().fields["cv"][0]["url"].rpartition("/")[2]
    bucket.is_down = True
    answer = app.test_client().get(path)
    assert (answer.status_code, "just now" in answer.text) == (503, True)
    bucket.objects.clear()
    bucket.is_down = False
    assert app.test_client().get(path).status_code == 404


def test_a_deletion_that_fails_is_tried_again(app: Flask, bucket: Bucket, interface: Interface) -> None:
    post(app, interface, email="nothing")
    make_old()
    bucket.is_down = True
    forgetting.forget()
    assert (count(File), len(bucket.objects)) == (1, 1), "its row says that it is still there"
    assert db.session.scalars(select(File.gone_at)).one() is not None
    bucket.is_down = False
    forgetting.forget()
    assert (count(File), bucket.objects) == (0, {})


def test_files_wait_for_their_lead_for_a_day(app: Flask, bucket: Bucket, interface: Interface) -> None:
    post(app, interface, email="nothing")
    stored.sweep(lambda: True)
    assert len(bucket.objects) == 1
    post(app, interface)
    make_old()
    stored.sweep(lambda: True)
    assert len(bucket.objects) == 1, "that of the lead stays"
    assert db.session.scalars(select(File.lead_id)).one() is not None


def test_more_files_than_one_batch_are_deleted_and_time_is_kept(app: Flask, interface: Interface) -> None:
    row = {"account_id": interface.account_id, "interface_id": interface.id, "field_key": "cv", "name": "a", "size": 1}
    with transaction():
        for number in range(stored.BATCH * 2 + 1):
            key = {"public_id": f"file_{number}", "storage_key": f"2026-11/file_{number}"}
            db.session.add(File(**row, **key, media_type="a/b", sha256="", created_at=utcnow() - timedelta(days=2)))
    assert not stored.sweep(iter([True, False]).__next__), "some are left for the next job"
    assert count(File) == stored.BATCH + 1
    assert stored.sweep(lambda: True)
    assert count(File) == 0


def test_a_file_is_given_to_one_lead_only(app: Flask, interface: Interface) -> None:
    post(app, interface)
    post(app, interface)
    first, second = db.session.scalars(select(Lead).order_by(Lead.id))
    [public_id] = db.session.scalars(select(File.public_id).where(File.lead_id == first.id))
    with pytest.raises(stored.FilesGone) as gone, transaction():
        stored.attach({second.public_id: [public_id]})
    assert gone.value.public_ids == {public_id}


def test_the_sweep_rings_the_job_where_files_wait(app: Flask, interface: Interface) -> None:
    sweep = Sweep()
    sweep.once()
    assert not [job for job in queues.get(MAIL).get_job_ids() if job.startswith("forget")]
    post(app, interface, email="nothing")
    sweep.forgets_at = 0.0
    sweep.once()
    assert [job for job in queues.get(MAIL).get_job_ids() if job.startswith("forget")]
