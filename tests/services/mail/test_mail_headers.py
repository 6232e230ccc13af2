"""The headers of a mail: the subject as it was typed, and no header that a visitor added."""

from email.header import decode_header, make_header

from flask import Flask
from hypothesis import given, settings
from hypothesis import strategies as st

from webapp.clock import utcnow
from webapp.services.mail import mails, smtp
from webapp.services.mail.smtp import Claimed

NAMES = [
    *("Content-Type", "MIME-Version", "Subject", "From", "To", "Date", "Message-ID", "Reply-To", "Auto-Submitted"),
]
PIECES = [
    *("=?utf-8?q?", "?=", "=0D=0A", "X-Evil: 1", "=?utf-8?b?DQpYLUV2aWw6IDE=?=", "=?", "Bcc: a@example.org", ":", ";"),
    *("x" * 40, " ", "  ", "\t", "\r\n", "\n ", "é", "\u2028", "🧑‍🚀", "<a@example.org>", ",", '"', "\\", "From "),
]
typed = st.lists(st.sampled_from(PIECES) | st.text(max_size=5), max_size=12).map("".join)
letters = st.text("abcXYZ019=?_!#$%&'*+-/^{|}~.", min_size=1, max_size=40)


def claimed(subject: str, address: str) -> Claimed:
    rest = {"lead_id": None, "created_at": utcnow(), "sent_at": None, "tries": 1, "answers": {}}
    words = {"subject": subject, "body_text": "Hello\n", "body_html": "<p>Hello</p>"}
    kind = {"id": 1, "kind": "lead_notification", "message_id": "<1@example.com>"}
    return Claimed(**kind, **words, **rest, recipients=[address], reply_to=address)


def test_typed_text_never_adds_a_header_and_the_subject_reads_as_typed(app: Flask) -> None:
    @settings(max_examples=300, deadline=None, derandomize=True, database=None)
    @given(subject=typed, local=letters, label=st.integers(1, 63))
    def look(subject: str, local: str, label: int) -> None:
        subject = mails.UNWANTED_IN_SUBJECT.sub(" ", subject).strip()[: mails.SUBJECT_LIMIT] or "-"
        address = f"{local}@{'a' * label}.example.com"
        content = smtp._message(claimed(subject, address), utf8=False).as_bytes()
        head, _, body = content.partition(b"\r\n\r\n")
        unfolded = head.replace(b"\r\n ", b" ").replace(b"\r\n\t", b" ").decode("ascii").split("\r\n")
        found = dict(line.split(": ", 1) for line in unfolded)
        assert list(found) == NAMES
        read = str(make_header(decode_header(found["Subject"])))
        assert "".join(read.split()) == "".join(subject.split())
        assert found["To"].split() == found["Reply-To"].split() == [address]
        assert max(map(len, content.split(b"\r\n"))) <= 998
        assert body.startswith(b"--")

    look()
