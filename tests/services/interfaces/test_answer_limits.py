"""Automatic answers are limited: three a day to a mailbox however it is written, ten a day for a visitor's network, and
200 an hour for an interface. Every lead is kept, and says why its visitor got no answer.
"""

import csv
import io
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import delete, func, insert, select

from tests.conftest import AppMaker, sign_in
from tests.support.factories import ADA, submit
from tests.support.valkey import Valkey
from webapp.config import ConfigError
from webapp.db import database_clock
from webapp.db.transactions import disconnect, transaction
from webapp.delivery.rings import MAIL, queues
from webapp.delivery.sweep import Sweep
from webapp.extensions import db
from webapp.models import AutoresponseCount, Interface, IpAddresses, Lead, Mail, User
from webapp.services.intake import capture, published_forms
from webapp.services.interfaces import answer_limits, interface_mails, interfaces, privacy
from webapp.services.interfaces.answer_limits import INTERFACE, MAILBOX, NETWORK, Asked
from webapp.services.interfaces.interface_mails import Words
from webapp.services.leads import forgetting, leads
from webapp.services.mail.same_mailbox import mailbox_of

NOON = datetime(2026, 11, 27, 12, 10, tzinfo=UTC)
Post = Callable[..., str | None]


@pytest.fixture
def app(make_app: AppMaker) -> Iterator[Flask]:
    """Without the limit of posts: an attacker has many addresses, a test has one."""
    app = make_app(FORM_RATE_LIMIT="")
    with app.app_context():
        yield app


@pytest.fixture(autouse=True)
def noon() -> Iterator[None]:
    """No test begins in one hour and ends in the next."""
    with time_machine.travel(NOON, tick=True):
        yield


@pytest.fixture
def answering(interface: Interface) -> Interface:
    return answers(interface)


@pytest.fixture
def post(client: FlaskClient, answering: Interface) -> Post:
    """Posts the form with an address from a network; returns `Lead.unanswered`."""
    networks = (f"198.51.{high}.{low}" for high in range(100) for low in range(1, 255))
    address = f"/f/{answering.public_id}"

    def post(email: str, ip: str | None = None, to: str = address) -> str | None:
        sent = client.post(to, data={**ADA, "email": email}, environ_base={"REMOTE_ADDR": ip or next(networks)})
        assert sent.status_code == 303, sent.text
        return last_lead().unanswered

    return post


def answers(interface: Interface) -> Interface:
    with transaction():
        words = Words(autoresponds=True, autoresponse_subject="Thank you", autoresponse_body="We have it.")
        interface_mails.update(interface, words)
    return interface


def last_lead() -> Lead:
    db.session.rollback()
    return db.session.scalars(select(Lead).order_by(Lead.id.desc()).limit(1)).one()


def mailed() -> list[str]:
    db.session.rollback()
    return [mail.recipients[0] for mail in db.session.scalars(select(Mail).order_by(Mail.id))]


def count_leads() -> int:
    return db.session.scalar(select(func.count()).select_from(Lead)) or 0


# The mailbox ----------------------------------------------------------------------------------------------------------


def test_tags_and_dots_bring_no_more_answers(post: Post) -> None:
    left_out = [post(f"victim+{number}@gmail.com") for number in range(40)]
    assert left_out == [None] * 3 + [MAILBOX] * 37
    dotted = ["v.i.c.t.i.m@gmail.com", "v.ictim@gmail.com", "vi.ctim@gmail.com", "vic.tim@gmail.com"]
    assert [post(email) for email in dotted] == [MAILBOX] * 4
    assert mailed() == [f"victim+{number}@gmail.com" for number in range(3)], "the address as it was typed"
    assert count_leads() == 44, "every lead is kept"


@pytest.mark.parametrize(
    "others",
    [
        ["VICTIM@GMAIL.COM", "Victim@Gmail.com", "victim@gmail.COM"],
        ["victim@googlemail.com", "v.ictim+x@googlemail.com", "VICTIM@GoogleMail.com"],
        ["victim+a+b@gmail.com", "victim+@gmail.com", "victim+a.b.c@gmail.com"],
        ["v.i.c.t.i.m+spam@gmail.com", "vi.ctim+1@googlemail.com", "V.Ictim@gmail.com"],
    ],
)
def test_other_ways_to_write_a_mailbox_are_counted_with_it(post: Post, others: list[str]) -> None:
    assert [post("victim@gmail.com") for _ in range(3)] == [None] * 3
    assert [post(email) for email in others] == [MAILBOX] * len(others)
    assert post("someone.else@gmail.com") is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ada@example.com", "ADA@Example.COM"),
        ("ada@example.com", "a.d.a@example.com"),
        ("ada@example.com", "ada+news@example.com"),
        ("ada@example.com", "ada@example.com."),
        ("ada@example.com", "ａｄａ@example.com"),
        ("ada@example.com", "a\u00adda@example.com"),
        ("ada@example.com", '"ada"@example.com'),
        ("ada@bücher.example", "ada@xn--bcher-kva.example"),
        ("josé@example.com", "jose\u0301@example.com"),
        ("ada@gmail.com", "a.da@googlemail.com"),
        ("ada@proton.me", "a-d_a+x@protonmail.com"),
        ("ada@pm.me", "ada@protonmail.ch"),
        ("ada@icloud.com", "ada@me.com"),
        ("ada@yandex.ru", "a-da@ya.ru"),
        ("ada@yahoo.com", "ada-shopping@yahoo.com"),
        ("ada@yahoo.co.uk", "ada-1@yahoo.co.uk"),
    ],
)
def test_one_mailbox_has_one_name(one: str, other: str) -> None:
    assert mailbox_of(one) == mailbox_of(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ada@example.com", "ada@example.org"),
        ("ada@example.com", "adam@example.com"),
        ("ada@gmail.com", "ada@outlook.com"),
        ("ada@hotmail.com", "ada@outlook.com"),
        ("anna-lena@gmail.com", "anna-maria@gmail.com"),
        ("ada@yahoo.com", "ada@yahoo.de"),
        ("a_da@example.com", "ada@example.com"),
        ("+1@example.com", "+2@example.com"),
        ("...@example.com", "a@example.com"),
    ],
)
def test_two_mailboxes_have_two_names(one: str, other: str) -> None:
    assert mailbox_of(one) != mailbox_of(other)


@pytest.mark.parametrize(
    "address", ["", "@", "a", "a@", "@b", "+@b", ".@b", "a@b@c", "\ud800@b", "a@" + "x" * 300, "a@."]
)
def test_what_is_no_address_has_some_name(address: str) -> None:
    assert isinstance(mailbox_of(address), str)


def test_an_interface_of_its_own_has_a_count_of_its_own(post: Post, owner: User) -> None:
    with transaction():
        other = interfaces.create(owner.account_id, "Other")
    answers(other)
    assert [post("ada+1@example.com") for _ in range(4)] == [None] * 3 + [MAILBOX]
    assert post("ada+2@example.com", to=f"/f/{other.public_id}") is None


# The network ----------------------------------------------------------------------------------------------------------


def test_visitors_of_one_network_bring_ten_answers_a_day(post: Post) -> None:
    left_out = [post(f"visitor{number}@example.com", "203.0.113.7") for number in range(12)]
    assert left_out == [None] * 10 + [NETWORK] * 2
    assert post("another@example.com", "203.0.113.8") is None
    with time_machine.travel(NOON + timedelta(days=1), tick=True):
        assert post("tomorrow@example.com", "203.0.113.7") is None


@pytest.mark.parametrize(
    ("network", "most"),
    [
        ("2001:db8:1:1::{0:x}", 10),
        ("2001:db8:1:1:{0:x}:{0:x}:{0:x}:1", 10),
        ("2001:db8:1:{0:x}::1", 40),  # the /64s of one /56
        ("::ffff:203.0.113.7", 10),
    ],
)
def test_ipv6_is_counted_by_network(post: Post, network: str, most: int) -> None:
    left_out = [post(f"visitor{number}@example.com", network.format(number)) for number in range(most + 2)]
    assert Counter(left_out) == {None: most, NETWORK: 2}


def test_a_whole_ipv6_site_brings_160_answers_a_day(make_app: AppMaker, answering: Interface) -> None:
    asked = [
        Asked(answering.id, f"v{number}@example.com", f"2001:db8:1:{number % 64:x}{number // 64:02x}::1")
        for number in range(170)
    ]
    with transaction():
        assert Counter(answer_limits.take(asked)) == {None: 160, NETWORK: 10}


def test_a_network_is_counted_for_all_interfaces_together(post: Post, owner: User) -> None:
    with transaction():
        other = interfaces.create(owner.account_id, "Other")
    answers(other)
    for number in range(10):
        assert post(f"v{number}@example.com", "203.0.113.7") is None
    assert post("w@example.com", "203.0.113.7", to=f"/f/{other.public_id}") == NETWORK


@pytest.mark.parametrize("kept", [IpAddresses.NONE, IpAddresses.CUT])
def test_it_is_counted_also_where_addresses_are_not_kept(post: Post, answering: Interface, kept: IpAddresses) -> None:
    with transaction():
        interface = db.session.get_one(Interface, answering.id)
        privacy.update(interface, ip_addresses=kept, retention_days=None, anonymises=False)
    left_out = [post(f"v{number}@example.com", "203.0.113.7") for number in range(11)]
    assert left_out == [None] * 10 + [NETWORK]
    kept_counts = " ".join(db.session.scalars(select(AutoresponseCount.address_digest)))
    assert "203.0.113" not in f"{last_lead().source}{kept_counts}".replace("203.0.113.0", "")


LOOPBACK = ("127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1", "::1%lo")  # of a proxy, without TRUSTED_PROXIES


@pytest.mark.parametrize("ip", [None, "", "unknown", "203.0.113", "10.0.0.0/8", "::ffff:", "x" * 500, *LOOPBACK])
def test_visitors_without_an_address_of_their_own_are_not_one_network(answering: Interface, ip: str | None) -> None:
    asked = [Asked(answering.id, f"v{number}@example.com", ip) for number in range(30)]
    with transaction():
        assert answer_limits.take(asked) == [None] * 30


def test_the_limit_of_a_network_is_a_setting(make_app: AppMaker, answering: Interface) -> None:
    asked = [Asked(answering.id, f"v{number}@example.com", "203.0.113.7") for number in range(30)]
    db.session.rollback()
    with make_app(AUTORESPONSES_PER_NETWORK="25").app_context(), transaction():
        assert Counter(answer_limits.take(asked)) == {None: 25, NETWORK: 5}


# The interface --------------------------------------------------------------------------------------------------------


def test_an_interface_sends_200_answers_an_hour(answering: Interface) -> None:
    def asked(number: int) -> list[Asked]:
        return [Asked(answering.id, f"v{number}-{each}@example.com", f"198.51.{number}.{each}") for each in range(50)]

    left_out: Counter[str | None] = Counter()
    for number in range(5):
        with transaction():
            left_out.update(answer_limits.take(asked(number)))
    assert left_out == {None: 200, INTERFACE: 50}
    with time_machine.travel(NOON + timedelta(hours=1), tick=True), transaction():
        assert answer_limits.take(asked(5)) == [None] * 50


def test_the_limit_of_an_interface_is_a_setting(make_app: AppMaker, post: Post, answering: Interface) -> None:
    interface_id = answering.id
    db.session.rollback()
    with make_app(AUTORESPONSES_PER_HOUR="4").app_context():
        for number in range(6):
            interface = db.session.get_one(Interface, interface_id)
            submit(interface, {**ADA, "email": f"v{number}@example.com"})
    assert len(mailed()) == 4
    assert last_lead().unanswered == INTERFACE


@pytest.mark.parametrize("name", ["AUTORESPONSES_PER_HOUR", "AUTORESPONSES_PER_NETWORK"])
@pytest.mark.parametrize("value", ["0", "-1", "many", "1.5", "200 per hour", "٢٠٠"])
def test_a_bad_limit_stops_the_start(make_app: AppMaker, name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=name):
        make_app(**{name: value})


def test_an_answer_that_is_left_out_uses_up_no_other_limit(make_app: AppMaker, answering: Interface) -> None:
    """Else a single network could use up the answers of a form for its real visitors."""
    interface_id = answering.id
    flood = [Asked(interface_id, f"v{number}@example.com", "203.0.113.7") for number in range(100)]
    db.session.rollback()
    with make_app(AUTORESPONSES_PER_HOUR="15").app_context(), transaction():
        assert Counter(answer_limits.take(flood)) == {None: 10, NETWORK: 90}
        again = Asked(interface_id, "v99@example.com", "203.0.113.99")
        assert answer_limits.take([again] * 4) == [None] * 3 + [MAILBOX]
        others = [Asked(interface_id, f"w{number}@example.com", None) for number in range(3)]
        assert answer_limits.take(others) == [None, None, INTERFACE]


# Several processes, and without Redis ---------------------------------------------------------------------------------


def test_the_limits_hold_for_processes_that_write_at_the_same_time(make_app: AppMaker, answering: Interface) -> None:
    """Each process has its own connections; each transaction has several leads, in another order."""
    public_id, interface_id = answering.public_id, answering.id
    db.session.rollback()
    together, errors = threading.Barrier(4), []

    def process(number: int) -> None:
        app = make_app()
        with app.app_context():
            form = published_forms.get(public_id)
            together.wait()
            try:
                for turn in range(5):
                    emails = [f"v{(number * turn + each) % 7}@example.com" for each in range(6)]
                    made = [
                        capture.new_lead(form.interface, {**ADA, "email": email}, {}, ip=f"203.0.113.{each % 3}")
                        for each, email in enumerate(emails if number % 2 else reversed(emails))
                    ]
                    with transaction():
                        capture.capture([capture.Submission(form, lead) for lead in made])
            except Exception as error:
                errors.append(error)
            disconnect()

    threads = [threading.Thread(target=process, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert count_leads() == 120
    to = Counter(mailed())
    assert max(to.values()) <= 3
    assert sum(to.values()) == 21, "seven mailboxes, three each; three networks may have thirty"
    counts = db.session.scalars(select(AutoresponseCount.sent).where(AutoresponseCount.interface_id == interface_id))
    assert sum(counts) == 2 * 21, "each answer for its mailbox and for its interface"


def test_they_hold_without_redis(post: Post, valkey: Valkey) -> None:
    valkey.stop()
    assert [post("ada@example.com") for _ in range(4)] == [None] * 3 + [MAILBOX]


# What people see ------------------------------------------------------------------------------------------------------


def test_a_lead_without_an_answer_says_so_on_its_page_and_in_the_export(
    app: Flask, post: Post, answering: Interface
) -> None:
    for number in range(4):
        post(f"ada+{number}@example.com")
    for number in range(11):
        post(f"v{number}@example.com", "203.0.113.7")
    found = {lead.unanswered: lead.public_id for lead in db.session.scalars(select(Lead))}
    db.session.rollback()
    signed_in = sign_in(app, "alice@example.com")
    sentences = {
        MAILBOX: "no automatic answer. This mailbox had its 3 answers of the day.",
        NETWORK: "no automatic answer. The visitor’s network had its answers of the day.",
    }
    for reason, sentence in sentences.items():
        assert sentence in signed_in.get(f"/leads/{found[reason]}").text
    assert "automatic answer" not in signed_in.get(f"/leads/{found[None]}").text
    rows = list(csv.DictReader(io.StringIO(signed_in.get("/leads.csv", buffered=True).text.removeprefix("\ufeff"))))
    assert Counter(row["Answer left out"] for row in rows) == {"": 13, MAILBOX: 1, NETWORK: 1}


def test_the_page_of_the_mails_says_which_limit_was_reached(
    make_app: AppMaker, post: Post, answering: Interface
) -> None:
    tab = f"/interfaces/{answering.public_id}/edit/e-mail"
    app = make_app(AUTORESPONSES_PER_HOUR="5", FORM_RATE_LIMIT="")
    signed_in, visitor = sign_in(app, "alice@example.com"), app.test_client()
    for number in range(4):
        post(f"ada+{number}@example.com")
    page = " ".join(signed_in.get(tab).text.split())
    assert "Some visitors got no answer today" in page
    assert "1 lead of today (UTC) without an answer. This mailbox had" in page
    assert "No answers until" not in page
    for number in range(4):
        sent = {**ADA, "email": f"v{number}@example.com"}
        assert visitor.post(f"/f/{answering.public_id}", data=sent).status_code == 303
    page = " ".join(signed_in.get(tab).text.split())
    assert "No answers until 13:00 UTC" in page
    assert "This form has sent 5 answers in this hour" in page
    assert "2 leads of today (UTC) without an answer. This form had sent" in page
    with time_machine.travel(NOON + timedelta(hours=1), tick=True):
        assert "No answers until" not in signed_in.get(tab).text


def test_without_a_limit_that_was_reached_the_page_says_nothing(app: Flask, post: Post, answering: Interface) -> None:
    post("ada@example.com")
    page = sign_in(app, "alice@example.com").get(f"/interfaces/{answering.public_id}/edit/e-mail").text
    assert "got no answer today" not in page
    assert "No answers until" not in page


def test_a_lead_taken_out_of_spam_is_answered_within_the_limits(owner: User, post: Post, answering: Interface) -> None:
    form = published_forms.get(answering.public_id)
    for number in range(4):
        with transaction():
            lead = capture.new_lead(form.interface, ADA, {}, spam="honeypot")
            [public_id] = capture.capture([capture.Submission(form, lead)])
        assert len(mailed()) == number
        with transaction():
            leads.not_spam(owner.account_id, str(public_id), owner.id)
    assert mailed() == ["ada@example.com"] * 3
    assert last_lead().unanswered == MAILBOX


@pytest.mark.parametrize("hours", [-72, -30, -1, 0, 1, 30, 72])
def test_counts_are_forgotten_by_the_clock_of_the_database(app: Flask, post: Post, hours: int) -> None:
    """A worker whose own clock is wrong would delete counts that still hold, and visitors would get more answers."""
    post("ada@example.com", "2001:db8::1")
    with transaction():
        today = answer_limits.day_of(database_clock.now())
        db.session.execute(delete(AutoresponseCount).where(AutoresponseCount.interface_id != 0))
        for ago in range(-1, 4):
            count = {"interface_id": 0, "address_digest": "of the test", "day": today - ago, "sent": 1}
            db.session.execute(insert(AutoresponseCount).values(count))
        db.session.execute(delete(AutoresponseCount).where(AutoresponseCount.address_digest != "of the test"))
        now = database_clock.now()
    with time_machine.travel(now + timedelta(hours=hours), tick=True):
        Sweep().once()
        assert [job.partition("-")[0] for job in queues.get(MAIL).get_job_ids()][-1] == "forget"
        forgetting.forget()
    days = db.session.scalars(select(AutoresponseCount.day).order_by(AutoresponseCount.day)).all()
    assert [day - today for day in days] == [-1, 0, 1]
