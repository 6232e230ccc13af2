"""Node parses payloads and prints them again: the bytes must not change."""

import json
import random
import struct
import subprocess
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webapp.webhooks import as_javascript
from webapp.webhooks.payload import lead_payload

AGAIN = """
const lines = require("fs").readFileSync(0, "utf8").split("\\n").slice(0, -1);
for (const line of lines) process.stdout.write(JSON.stringify(JSON.parse(line)) + "\\n");
"""
NUMBERS = [
    1e-05,
    1e-06,
    1e-07,
    1.5e-07,
    0.0001,
    0.00012345,
    1e-300,
    5e-324,
    -1e-05,
    -2.5e-09,
    0.1,
    12.5,
    1.0,
    -0.0,
    100.0,
]
NUMBERS += [1e15, 1e16, 1.5e16, 123456789012345680.0, 1e20, 1e21, 1.7976931348623157e308, 2**53 + 2.0, 0.1 + 0.2]
TEXTS = [
    "😀 שלום",
    '"\\/',
    "\x7f\u2028\u2029\u00a0",
    "\t\n\r\b\f\x00\x1f",
    "\ufeffBOM",
    "\ud83d",
    "\udc00\ud800",
    "\uffff",
    "</script>",
]


def printed_again(bodies: list[bytes]) -> list[bytes]:
    """What JSON.stringify makes of what JSON.parse makes of each."""
    node = subprocess.run(["node", "-e", AGAIN], input=b"".join(body + b"\n" for body in bodies), capture_output=True)
    assert node.returncode == 0, node.stderr
    return node.stdout.split(b"\n")[:-1]


def body(fields: dict[str, object], undeclared: dict[str, object] | None = None) -> bytes:
    return lead_payload(
        event="lead.created",
        lead_id="lead_01k",
        received_at=datetime(2026, 11, 23, 8, tzinfo=UTC),
        fields=fields,
        undeclared=undeclared,
        interface_id="if_8Kx2",
        interface_name="Contact",
        source={},
        consents=[{"key": "news", "given": True, "statement": "Yes"}],
    )


def test_node_prints_the_same_bytes_again() -> None:
    luck = random.Random(7)
    floats = [struct.unpack("<d", luck.randbytes(8))[0] for _ in range(3000)]
    floats += [luck.randrange(10**15) / 10 ** luck.randrange(25) for _ in range(3000)]
    finite = [*NUMBERS, *(number for number in floats if number - number == 0)]
    bodies = [body({"n": number, "name": "Ada"}) for number in finite]
    bodies += [body({"name": text, "n": 3}) for text in TEXTS] + [body({"name": text, "n": 0.5}) for text in TEXTS]
    bodies += [body({}, {"list": [1.0, {"b": 1e-7, "a": [-0.0]}], "text": text}) for text in TEXTS]
    assert printed_again(bodies) == bodies


@pytest.mark.parametrize(
    ("names", "order"),
    [
        (["b", "10", "9", "a"], ["9", "10", "b", "a"]),
        (["01", "1", "-1", "1.0", "0"], ["0", "1", "01", "-1", "1.0"]),
        (["4294967295", "4294967294", "x"], ["4294967294", "4294967295", "x"]),
        (["٣", "3", "²"], ["3", "٣", "²"]),
        (["", "__proto__", "constructor", "5"], ["5", "", "__proto__", "constructor"]),
        (["99999999999999999999", "7"], ["7", "99999999999999999999"]),
    ],
)
def test_names_that_look_like_an_index_come_first(names: list[str], order: list[str]) -> None:
    written = body({"name": "Ada"}, {"deep": dict.fromkeys(names, 1), **dict.fromkeys(names, "x")})
    kept = json.loads(written)["data"]["lead"]["undeclared"]
    assert list(kept["deep"]) == order
    assert [name for name in kept if name != "deep"] == order
    assert printed_again([written]) == [written]


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_keeps_its_value(number: float) -> None:
    assert float(as_javascript.text(number)) == number


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_what_json_has_no_number_for_is_refused(number: float) -> None:
    with pytest.raises(ValueError, match="Out of range"):
        body({"n": number})
    with pytest.raises(ValueError, match="Out of range"):
        body({}, {"n": [number]})


def test_what_json_has_no_type_for_is_refused() -> None:
    with pytest.raises(TypeError):
        body({"n": 0.5, "when": datetime(2026, 1, 1, tzinfo=UTC)})
