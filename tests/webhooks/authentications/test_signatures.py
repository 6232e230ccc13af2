"""Signature by template: known vectors, every part of the templates, rotation, and settings that cannot sign."""

import base64
import hashlib
import hmac
import json
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_public_key,
    load_pem_public_key,
)

from tests.webhooks.authentications.messages import AT, BODY, MESSAGE, added, refusal
from webapp.webhooks.authentications.schemes import SCHEMES, new_secret, overlaps
from webapp.webhooks.authentications.signature import public_keys
from webapp.webhooks.authentications.signature_presets import PRESETS

SECRET = "geheim-geheim-geheim"
# RFC 8032, 7.1, test 3: an Ed25519 key, a message of two bytes, and its signature.
SEED = "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7"
PUBLIC = "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025"
SIGNED = (
    "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
    "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
)


def signature(**options: str) -> str:
    """The signature alone, with these options."""
    secrets = {"secret": options.pop("secret", SECRET), "previous": options.pop("previous", "")}
    [value] = added("signature", {"headers": "X-Signature: {signature}", **options}, secrets).values()
    return value


def pem(key, encryption=None, form=PrivateFormat.PKCS8) -> str:
    return key.private_bytes(Encoding.PEM, form, encryption or NoEncryption()).decode()


def test_github_s_published_example_has_the_published_signature():
    """GitHub, "Validating webhook deliveries", testing the verification code."""
    message = replace(MESSAGE, body=b"Hello, World!")
    headers = added("signature", PRESETS["github"].options, {"secret": "It's a Secret to Everybody"}, message)
    published = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    assert headers == {"x-hub-signature-256": f"sha256={published}"}


def test_slack_s_published_example_has_the_published_signature():
    """Slack, "Verifying requests from Slack"."""
    body = (
        b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&"
        b"channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&"
        b"response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&"
        b"trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
    )
    message = replace(MESSAGE, body=body, timestamp=1531420618)
    headers = added("signature", PRESETS["slack"].options, {"secret": "8f742231b10e8888abcd99yyyzzz85a5"}, message)
    published = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"
    assert headers == {"x-slack-request-timestamp": "1531420618", "x-slack-signature": published}


def test_standard_webhooks_published_example_has_the_published_signature():
    message = replace(
        MESSAGE, message_id="msg_p5jXN8AQM9LWM0D4loKWxJek", timestamp=1614265330, body=b'{"test": 2432232314}'
    )
    secrets = {"secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}
    headers = added("signature", PRESETS["standard_webhooks"].options, secrets, message)
    assert headers == {"webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="}


@pytest.mark.parametrize("key", ["hex", "base64"])
def test_ed25519_is_as_in_the_rfc(key):
    raw = bytes.fromhex(SEED)
    message = replace(MESSAGE, body=b"\xaf\x82")
    options = {"algorithm": "ed25519", "key": key, "content": "{body}", "headers": "X-Signature: {signature}"}
    for pair in (raw, raw + bytes.fromhex(PUBLIC)):
        secret = pair.hex() if key == "hex" else base64.b64encode(pair).decode()
        assert added("signature", options, {"secret": secret}, message) == {"x-signature": SIGNED}
    assert public_keys(options, {"secret": secret})["hex"] == PUBLIC


@pytest.mark.parametrize(
    ("algorithm", "digest"), [("hmac-sha256", "sha256"), ("hmac-sha1", "sha1"), ("hmac-sha512", "sha512")]
)
def test_each_algorithm_in_each_encoding_with_each_reading_of_the_key(algorithm, digest):
    """The same secret is three keys."""
    text = "whsec_" + base64.b64encode(b"k" * 30).decode()
    keys = {"text": (text, text.encode()), "base64": (text, b"k" * 30), "hex": ("6B6b" * 15, b"k" * 30)}
    for key, (secret, raw) in keys.items():
        expected = hmac.digest(raw, b"%d." % AT + BODY, digest)
        for encoding, shown in {
            "hex": expected.hex(),
            "base64": base64.b64encode(expected).decode(),
            "base64url": base64.urlsafe_b64encode(expected).decode().rstrip("="),
        }.items():
            assert signature(algorithm=algorithm, key=key, encoding=encoding, secret=secret) == shown


def test_a_base64_key_may_lack_its_prefix_and_its_padding():
    whole = base64.b64encode(b"k" * 32).decode()
    same = {signature(key="base64", secret=secret) for secret in (whole, f"whsec_{whole}", whole.rstrip("="))}
    assert len(same) == 1


@pytest.mark.parametrize(
    ("content", "signed"),
    [
        ("{body}", BODY),
        ("{id}.{timestamp}.{body}", b"msg_1.1700000000." + BODY),
        ("{timestamp_ms}{body}", b"1700000000123" + BODY),
        (
            "{method}\n{url}\n{body_sha256}",
            f"POST\nhttps://crm.example/hook\n{hashlib.sha256(BODY).hexdigest()}".encode(),
        ),
        ("{method}\r\n{body}\r\n", b"POST\n" + BODY),
        ("{{{id}}}é{body}", b"{msg_1}\xc3\xa9" + BODY),
        ("{url}", b"https://crm.example/hook"),
        ("{body}{body}", BODY * 2),
        (" {body}", b" " + BODY),
    ],
)
def test_the_signed_content_is_exactly_the_template(content, signed):
    assert signature(content=content) == hmac.new(SECRET.encode(), signed, "sha256").hexdigest()


def test_a_body_with_braces_and_other_bytes_is_signed_as_it_is():
    body = b'{"a":"{id} {{ }} {body}"}\x00\xff\r\n'
    headers = added("signature", {"content": "{body}"}, {"secret": SECRET}, replace(MESSAGE, body=body))
    assert headers["x-signature"] == hmac.new(SECRET.encode(), body, "sha256").hexdigest()


def test_headers_are_templates_too():
    lines = "X-Time: {timestamp} {timestamp_ms}\r\n\r\nX-Fixed: a:b {{c}}\nX-Of: {id} {method} {url} {body_sha256}"
    lines += "\nS: {signature}"
    headers = added("signature", {"headers": lines}, {"secret": SECRET})
    assert list(headers) == ["x-time", "x-fixed", "x-of", "s"]
    assert headers["x-time"] == "1700000000 1700000000123"
    assert headers["x-fixed"] == "a:b {c}"
    assert headers["x-of"] == f"msg_1 POST https://crm.example/hook {hashlib.sha256(BODY).hexdigest()}"


def test_the_digest_of_the_body_can_stand_in_the_url_which_is_then_signed():
    digest = hashlib.sha256(BODY).hexdigest()
    options, secrets = PRESETS["twilio"].options, {"secret": SECRET}
    for url, sent in {
        "https://crm.example/hook": f"https://crm.example/hook?bodySHA256={digest}",
        "https://crm.example/hook?a=1": f"https://crm.example/hook?a=1&bodySHA256={digest}",
    }.items():
        after = SCHEMES["signature"].of(options, secrets).add_to(replace(MESSAGE, url=url))
        expected = hmac.digest(SECRET.encode(), sent.encode(), "sha1")
        assert after.url == sent
        assert after.headers["x-twilio-signature"] == base64.b64encode(expected).decode()
    typed = replace(MESSAGE, url="https://crm.example/hook?sum=%7Bbody_sha256%7D&b")
    after = SCHEMES["signature"].of({**options, "query": ""}, secrets).add_to(typed)
    assert after.url == f"https://crm.example/hook?sum={digest}&b"


@pytest.mark.parametrize(
    ("preset", "value"),
    [
        ("stripe", "t=1700000000,v1={new},v1={old}"),
        ("mux", "t=1700000000,v1={new},v1={old}"),
        ("standard_webhooks", "v1,{new} v1,{old}"),
        ("svix", "v1,{new} v1,{old}"),
    ],
)
def test_both_secrets_sign_during_an_overlap_newest_first(preset, value):
    options = PRESETS[preset].options
    new, old = (base64.b64encode(letter * 32).decode() for letter in (b"n", b"o"))
    [name] = [line.partition(":")[0].lower() for line in options["headers"].split("\n") if "{signature}" in line]
    alone = {one: added("signature", options, {"secret": one})[name] for one in (new, old)}
    parts = {one: whole.rpartition("v1")[2][1:] for one, whole in alone.items()}
    both = added("signature", options, {"secret": new, "previous": old})[name]
    assert both == value.format(new=parts[new], old=parts[old])
    assert overlaps("signature", options)


@pytest.mark.parametrize("preset", sorted(set(PRESETS) - {"stripe", "mux", "standard_webhooks", "svix", "sendgrid"}))
def test_where_the_receiver_takes_one_signature_a_rotation_swaps_at_once(preset):
    options = PRESETS[preset].options
    new, old = "6e" * 32, "6f" * 32
    assert not overlaps("signature", options)
    alone = added("signature", options, {"secret": new})
    assert added("signature", options, {"secret": new, "previous": old}) == alone
    assert added("signature", options, {"secret": new, "previous": "not a key!"}) == alone


def test_other_separators_repeat_only_the_piece_with_the_signature():
    options = {"headers": "X-S: ts={timestamp};h1={signature};last\nX-Id: {id};x", "overlap": "semicolon"}
    both = added("signature", options, {"secret": SECRET, "previous": SECRET[::-1]})
    first, second = signature(), signature(secret=SECRET[::-1])
    assert both == {"x-s": f"ts=1700000000;h1={first};h1={second};last", "x-id": "msg_1;x"}


def test_only_v1a_and_templates_that_allow_it_overlap():
    assert [name for name in SCHEMES if overlaps(name, {"overlap": "comma"})] == ["v1a", "signature"]
    assert not overlaps("signature", {})


@pytest.mark.parametrize("key", ["text", "base64", "hex"])
def test_ecdsa_verifies_with_the_public_key_that_is_shown(key):
    private = ec.generate_private_key(ec.SECP256R1())
    der = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    scalar = private.private_numbers().private_value.to_bytes(32, "big")
    read = {
        "text": [pem(private), pem(private, form=PrivateFormat.TraditionalOpenSSL), "\n" + pem(private)],
        "base64": [base64.b64encode(der).decode(), base64.b64encode(scalar).decode(), pem(private)],
        "hex": [der.hex(), scalar.hex()],
    }
    for secret in read[key]:
        options = {"algorithm": "ecdsa-p256", "key": key, "encoding": "base64"}
        signed = base64.b64decode(signature(**options, secret=secret))
        shown = public_keys(options, {"secret": secret})
        for public in (
            load_pem_public_key(shown["PEM"].encode()),
            load_der_public_key(base64.b64decode(shown["base64 of DER"])),
        ):
            public.verify(signed, b"%d." % AT + BODY, ec.ECDSA(SHA256()))


def test_an_hmac_has_no_public_key():
    assert public_keys({}, {"secret": SECRET}) == {}


RSA = pem(rsa.generate_private_key(65537, 2048))
CURVE_384 = pem(ec.generate_private_key(ec.SECP384R1()))
LOCKED = pem(Ed25519PrivateKey.generate(), BestAvailableEncryption(b"pass phrase"))


@pytest.mark.parametrize(
    ("options", "secret", "reason"),
    [
        ({}, "", "missing"),
        ({}, "geheim", "too short"),
        ({}, "geheim-geheim\n", "space"),
        ({}, " geheim-geheim", "space"),
        ({}, "geheim\ngeheim", "line break"),
        ({}, "geheim\ud800geheim", "invisible"),
        ({}, "g" * 4097, "longer"),
        ({"key": "base64"}, "geheim*geheim", "base64"),
        ({"key": "base64"}, "geheim-geheim_gehe", "URL-safe"),
        ({"key": "base64"}, "geheimé=", "base64"),
        ({"key": "base64"}, "whsec_", "too short"),
        ({"key": "base64"}, "Z2VoZWlt", "too short"),
        ({"key": "hex"}, "geheimgeheim", "hex"),
        ({"key": "hex"}, "6b6b6b6b6b6b6b6b6", "hex"),
        ({"key": "hex"}, "6b 6b 6b 6b 6b 6b 6b 6b 6b", "hex"),
        ({"key": "hex"}, "٦٦" * 20, "hex"),
        ({"algorithm": "ed25519"}, SEED, "does not begin with -----BEGIN"),
        ({"algorithm": "ed25519", "key": "hex"}, SEED[2:], "31"),
        ({"algorithm": "ed25519", "key": "hex"}, SEED + SEED, "second half"),
        ({"algorithm": "ed25519", "key": "base64"}, SEED, "48"),
        ({"algorithm": "ed25519"}, RSA, "not a private Ed25519 key"),
        ({"algorithm": "ed25519"}, LOCKED, "pass phrase"),
        ({"algorithm": "ed25519"}, LOCKED[:90], "cannot be read"),
        ({"algorithm": "ecdsa-p256"}, RSA, "P-256"),
        ({"algorithm": "ecdsa-p256"}, CURVE_384, "P-256"),
        ({"algorithm": "ecdsa-p256", "key": "hex"}, "00" * 32, "cannot be read"),
        ({"algorithm": "ecdsa-p256", "key": "hex"}, "ff" * 32, "cannot be read"),
        ({"algorithm": "ecdsa-p256", "key": "base64"}, "Z2VoZWltZ2VoZWlt", "cannot be read"),
        (
            {"algorithm": "ecdsa-p256"},
            "-----BEGIN PRIVATE KEY-----\ngeheim\n-----END PRIVATE KEY-----",
            "cannot be read",
        ),
    ],
    ids=lambda value: type(value).__name__,  # some are made anew by each process
)
def test_a_secret_that_is_no_key_is_refused(options, secret, reason):
    error = refusal("signature", options, {"secret": secret})
    assert reason in str(error)
    assert error.setting == "secret"


def test_a_previous_secret_that_is_no_key_is_named():
    error = refusal("signature", {"overlap": "comma"}, {"secret": SECRET, "previous": "geheim"})
    assert "previous" in str(error)


@pytest.mark.parametrize(
    ("setting", "value", "reason"),
    [
        ("content", "{", "{{"),
        ("content", "}", "}}"),
        ("content", "{body} {", "{{"),
        ("content", "{body} }", "}}"),
        ("content", "{body}{}", "{}"),
        ("content", "{Body}", "{Body}"),
        ("content", "{ body }", "{ body }"),
        ("content", "{body!r}", "no variable"),
        ("content", "{body:>99999999}", "no variable"),
        ("content", "{body.__class__}", "no variable"),
        ("content", "{0}", "no variable"),
        ("content", "{body[0]}", "no variable"),
        ("content", "{secret}", "no variable"),
        ("content", "{signature}{body}", "{signature}"),
        ("content", "{timestamp}", "anyone could change"),
        ("content", "fixed", "anyone could change"),
        ("content", "{body}" * 200, "longer"),
        ("headers", "X-Signature: {body}", "{body}"),
        ("headers", "X-Signature: {other} {signature}", "{other}"),
        ("headers", "X-Signature: fixed", "None of the headers"),
        ("headers", "X-Signature", "colon"),
        ("headers", "X-Signature: ", "colon"),
        ("headers", "{signature}: x", "letters"),
        ("headers", "Host: {signature}", "host"),
        ("headers", "webhook-id: {signature}", "webhook-id"),
        ("headers", "X-S: {signature}\nx-s: {id}", "twice"),
        ("headers", "X-S: {signature} 密", "€"),
        ("headers", "X-S: {signature}\x00", "invisible"),
        ("headers", "X-S: {signature}\nX-T: {", "line 2"),
        ("headers", "\n".join(f"X-{number}: {{signature}}" for number in range(11)), "more than 10"),
        ("query", "sum={body}", "{body}"),
        ("query", "sum={signature}", "{signature}"),
        ("query", "sum={url}", "{url}"),
        ("query", "a b={body_sha256}", "' '"),
        ("query", "a#{body_sha256}", "#"),
        ("query", "é={body_sha256}", "é"),
        ("query", "{{={body_sha256}", "'{'"),
        ("query", "a=%2f&b={body_sha256}", "%"),
        ("query", "a\n={body_sha256}", "'\\n'"),
        ("query", "{{{body_sha256}", "'{'"),
        ("algorithm", "md5", "one of"),
        ("algorithm", "hmac-md5", "one of"),
        ("encoding", "base32", "one of"),
        ("key", "utf-16", "one of"),
        ("overlap", "yes", "one of"),
    ],
)
def test_templates_that_cannot_be_rendered_are_refused(setting, value, reason):
    error = refusal("signature", {setting: value}, {"secret": SECRET})
    assert reason in str(error)
    assert error.setting == setting


def test_every_preset_signs_with_a_new_secret():
    """And its options are settings, all of which it names but the query."""
    for name, preset in PRESETS.items():
        given = new_secret("signature", preset.options)
        assert given
        assert added("signature", preset.options, dict([given])), name
        known = {setting.name for setting in SCHEMES["signature"].SETTINGS if not setting.secret}
        assert known - {"query"} <= set(preset.options) <= known
        assert preset.seen
        json.dumps(dict(preset.options))


def test_new_secrets_are_new():
    for key in ("text", "base64", "hex"):
        secrets = {new_secret("signature", {"key": key}) for _ in range(20)}
        assert len(secrets) == 20
        for setting, secret in secrets:
            assert signature(key=key, secret=secret)
            assert setting == "secret"
    assert new_secret("bearer", {}) is None
