"""Public ids, which name a row in addresses and payloads and for people; and the largest row number."""

import os
import re
import secrets
import time

CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"
LARGEST_ROW = 2**63 - 1  # the largest that the database can hold; an address with a larger number answers 404
LONGEST = 40  # characters of a public id; ours have up to 31
BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
# A ULID has 130 bits: 13 pairs of characters, of 10 bits each.
_PAIRS = [one + other for one in CROCKFORD for other in CROCKFORD]
_SHIFTS = range(120, -1, -10)
_LETTERS = bytes(ord(CROCKFORD[byte & 31]) for byte in range(256))  # by 5 bits of a byte
MESSAGE_ID = re.compile(rf"msg_[{CROCKFORD}]{{26}}")


def ulid() -> str:
    """26 characters that sort by time: 48 bits of milliseconds and 80 random bits (a ULID in lower case)."""
    now, pairs = time.time_ns() // 1_000_000, _PAIRS
    when = pairs[now >> 40] + pairs[now >> 30 & 1023] + pairs[now >> 20 & 1023] + pairs[now >> 10 & 1023]
    return f"{when}{pairs[now & 1023]}{os.urandom(16).translate(_LETTERS).decode('ascii')}"


def _ulid_of(number: int) -> str:
    return "".join([_PAIRS[number >> shift & 1023] for shift in _SHIFTS])


def lead_id() -> str:
    return f"lead_{ulid()}"


def message_id() -> str:
    """The `webhook-id` of a delivery, the same for every attempt."""
    return f"msg_{ulid()}"


def file_id() -> str:
    return f"file_{ulid()}"


def message_ids_from(seconds: float) -> str:
    """What sorts before every `webhook-id` that is made at this Unix time or later."""
    return f"msg_{_ulid_of(max(0, int(seconds * 1000)) << 80)}"


def attempt_id() -> str:
    return f"att_{ulid()}"


def attempt_id_after(first: str) -> str:
    """The id of the next attempt of a try: it sorts directly after the one before, also within a millisecond."""
    number = 0
    for letter in first.removeprefix("att_"):
        number = number << 5 | CROCKFORD.index(letter)
    return f"att_{_ulid_of(number + 1)}"


def message_id_after(attempt: str) -> str:
    """The `webhook-id` of the event about an attempt, always the same."""
    return f"msg_{attempt.removeprefix('att_')}"


def interface_id() -> str:
    """An interface's public id; short, because people paste it in snippets."""
    return f"if_{_token(12)}"


def webhook_id() -> str:
    return f"wh_{_token(12)}"


def key_id() -> str:
    return f"key_{_token(12)}"


def _token(length: int) -> str:
    return "".join(secrets.choice(BASE62) for _ in range(length))
