"""Client certificates as people paste and upload them: every form that `openssl` writes, and every fault in words."""

import base64
import ssl
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from tests.support.counterparts import issued, openssl, self_made_authority
from webapp.webhooks import client_certificates
from webapp.webhooks.client_certificates import read, warning
from webapp.webhooks.identities import ClientCertificate
from webapp.webhooks.settings import WrongSetting

NOW = datetime.now(UTC)
PHRASE = "päss: +%phrase"
KINDS = {
    "RSA": ("RSA", "rsa_keygen_bits:2048"),
    "P-256": ("EC", "ec_paramgen_curve:prime256v1"),
    "P-384": ("EC", "ec_paramgen_curve:secp384r1"),
    "Ed25519": ("ED25519", ""),
    "Ed448": ("ED448", ""),
}


class Made:
    """A root, an authority below it, and client certificates of the latter for keys of each kind; all by openssl."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.root = self_made_authority(directory, "root")
        self.between = issued(directory, "between", self.root, "basicConstraints=critical,CA:TRUE")
        self.other = issued(directory, "other", self.between)
        self.keys = {kind: self.key(kind) for kind in KINDS}
        self.leaves = {kind: self.certified(kind, key) for kind, key in self.keys.items()}

    def key(self, kind: str, option: str = "") -> Path:
        path = self.directory / f"{kind}{option}.key"
        algorithm, usual = KINDS[kind]
        more = ("-pkeyopt", option or usual) if option or usual else ()
        openssl("genpkey", "-algorithm", algorithm, *more, "-out", path)
        return path

    def certified(self, name: str, key: Path, *options: object) -> Path:
        request, path = self.directory / f"{name}.csr", self.directory / f"{name}.pem"
        openssl("req", "-new", "-key", key, "-subj", f"/O=Example/CN=leadhook {name}", "-out", request)
        by = ("-CA", self.between[0], "-CAkey", self.between[1], "-CAcreateserial", "-days", 20)
        openssl("x509", "-req", "-in", request, *by, *options, "-out", path)
        return path

    def converted(self, *command: object) -> bytes:
        path = self.directory / "converted"
        openssl(*command, "-out", path)
        return path.read_bytes()

    def dated(self, since: timedelta, until: timedelta) -> bytes:
        """For the key of kind P-256, valid from and until so long from now."""
        by = x509.load_pem_x509_certificate(self.between[0].read_bytes())
        signer = load_pem_private_key(self.between[1].read_bytes(), None)
        own = load_pem_private_key(self.keys["P-256"].read_bytes(), None)
        made = x509.CertificateBuilder(by.subject, by.subject, own.public_key(), x509.random_serial_number())
        dated = made.not_valid_before(NOW + since).not_valid_after(NOW + until)
        return dated.sign(signer, hashes.SHA256()).public_bytes(Encoding.PEM)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("made"))


def subjects(pem: str) -> list[str]:
    return [one.subject.rfc4514_string() for one in x509.load_pem_x509_certificates(pem.encode())]


def check(pem: str) -> None:
    """OpenSSL takes it, and the key in it has no pass phrase."""
    assert pem.startswith("-----BEGIN PRIVATE KEY-----\n")
    ClientCertificate.of(pem).load_into(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))


# Keys in every form.

RSA, P256, P384 = "RSA", "P-256", "P-384"
FORMS: dict[str, tuple[str, Callable[[Made, Path], bytes]]] = {
    "PKCS #8, RSA": (RSA, lambda made, key: key.read_bytes()),
    "PKCS #8, P-256": (P256, lambda made, key: key.read_bytes()),
    "PKCS #8, Ed25519": ("Ed25519", lambda made, key: key.read_bytes()),
    "PKCS #8, Ed448": ("Ed448", lambda made, key: key.read_bytes()),
    "PKCS #1": (RSA, lambda made, key: made.converted("rsa", "-in", key, "-traditional")),
    "EC": (P384, lambda made, key: made.converted("ec", "-in", key)),
    "EC with its parameters": (
        P256,
        lambda made, key: made.converted("ecparam", "-name", "prime256v1") + made.converted("ec", "-in", key),
    ),
    "DER of PKCS #8": (P256, lambda made, key: made.converted("pkey", "-in", key, "-outform", "DER")),
    "DER of PKCS #1": (RSA, lambda made, key: made.converted("rsa", "-in", key, "-traditional", "-outform", "DER")),
    "DER of EC": (P256, lambda made, key: made.converted("ec", "-in", key, "-outform", "DER")),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_key_is_read_in_this_form(made: Made, form: str) -> None:
    kind, converted = FORMS[form]
    found = read([converted(made, made.keys[kind]), made.leaves[kind].read_bytes()], "", NOW)
    check(found.pem)
    assert found.subject == f"leadhook {kind}"
    assert abs(found.until - NOW - timedelta(days=20)) < timedelta(minutes=5)


PASS = ("-passout", f"pass:{PHRASE}")
ENCRYPTED: dict[str, Callable[[Made, Path], bytes]] = {
    "PKCS #8, AES": lambda made, key: made.converted("pkcs8", "-topk8", "-in", key, "-v2", "aes256", *PASS),
    "PKCS #8, scrypt": lambda made, key: made.converted("pkcs8", "-topk8", "-in", key, "-scrypt", *PASS),
    "PKCS #8, triple DES": lambda made, key: made.converted("pkcs8", "-topk8", "-in", key, "-v2", "des3", *PASS),
    "PKCS #8, old": lambda made, key: made.converted(
        "pkcs8", "-topk8", "-in", key, "-v1", "PBE-SHA1-3DES", *PASS, "-provider", "legacy", "-provider", "default"
    ),
    "traditional, AES": lambda made, key: made.converted("rsa", "-in", key, "-traditional", "-aes128", *PASS),
    "traditional, triple DES": lambda made, key: made.converted("rsa", "-in", key, "-traditional", "-des3", *PASS),
    "DER": lambda made, key: made.converted("pkcs8", "-topk8", "-in", key, "-v2", "aes256", "-outform", "DER", *PASS),
    "traditional in one line": lambda made, key: made.converted(
        "rsa", "-in", key, "-traditional", "-aes256", *PASS
    ).replace(b"\n", b" "),
}


@pytest.mark.parametrize("form", ENCRYPTED)
def test_an_encrypted_key_is_read_with_its_pass_phrase_only(made: Made, form: str) -> None:
    key, certificate = ENCRYPTED[form](made, made.keys[RSA]), made.leaves[RSA].read_bytes()
    check(read([certificate, key], PHRASE, NOW).pem)
    for phrase, said in (("", "is encrypted. Enter its pass phrase"), ("wrong", "does not open the private key")):
        with pytest.raises(WrongSetting, match=said) as wrong:
            read([certificate, key], phrase, NOW)
        assert wrong.value.setting == "pass_phrase"
        assert "wrong" not in str(wrong.value)


def test_a_pass_phrase_that_is_not_needed_does_no_harm(made: Made) -> None:
    check(read([made.leaves[P256].read_bytes(), made.keys[P256].read_bytes()], "not needed", NOW).pem)


PFX: dict[str, tuple[str, tuple[object, ...]]] = {
    "usual": (PHRASE, ()),
    "old Windows": ("secret", ("-legacy",)),
    "triple DES": ("secret", ("-keypbe", "PBE-SHA1-3DES", "-certpbe", "PBE-SHA1-3DES", "-macalg", "SHA1")),
    "without a pass phrase": ("", ()),
    "with nothing encrypted": ("", ("-keypbe", "NONE", "-certpbe", "NONE", "-nomac")),
}


@pytest.mark.parametrize("form", PFX)
def test_a_pfx_file_is_read_with_its_chain(made: Made, form: str) -> None:
    phrase, options = PFX[form]
    chain = ("-certfile", made.between[0], "-inkey", made.keys[RSA], "-in", made.leaves[RSA])
    file = made.converted("pkcs12", "-export", *chain, *options, "-passout", f"pass:{phrase}")
    found = read([file], phrase, NOW)
    check(found.pem)
    assert subjects(found.pem) == ["CN=leadhook RSA,O=Example", "CN=between"]
    if phrase:
        for other, said in (("", "has a pass phrase. Enter it"), ("wrong", "does not open the PFX file")):
            with pytest.raises(WrongSetting, match=said):
                read([file], other, NOW)


# Texts as they come through mails, forms, chats and editors.


def _pasted(made: Made) -> str:
    return made.leaves[P256].read_text() + made.between[0].read_text() + made.keys[P256].read_text()


CHANGES: dict[str, Callable[[str], str | bytes]] = {
    "as it is": lambda text: text,
    "Windows' line breaks": lambda text: text.replace("\n", "\r\n"),
    "old Mac's line breaks": lambda text: text.replace("\n", "\r"),
    "a byte order mark": lambda text: "\ufeff" + text,
    "UTF-16 of Windows' editor": lambda text: text.encode("utf-16"),
    "UTF-16, the other way": lambda text: b"\xfe\xff" + text.encode("utf-16-be"),
    "indented": lambda text: "\n".join(f"    {line}" for line in text.splitlines()),
    "indented with tabs": lambda text: "\n".join(f"\t{line}" for line in text.splitlines()),
    "in one line": lambda text: text.replace("\n", " "),
    "in one line without spaces": lambda text: text.replace("\n", ""),
    "with \\n for line breaks": lambda text: text.replace("\n", "\\n"),
    "with \\r\\n for line breaks": lambda text: text.replace("\n", "\\r\\n"),
    "quoted": lambda text: f'"{text}"',
    "blank lines between": lambda text: text.replace("\n", "\n\n"),
    "spaces at the ends": lambda text: text.replace("\n", "  \n"),
    "other dashes": lambda text: text.replace("-----", "—–––"),
    "words around": lambda text: f"Dear Ada,\nhere it is:\n{text}\nBag Attributes\n  friendlyName: x\n",
    "YAML": lambda text: "tls:\n  pem: |\n" + "\n".join(f"    {line}" for line in text.splitlines()),
    "hard spaces": lambda text: text.replace("\n", "\xa0\n"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_text_is_read_although_it_was_changed_on_its_way(made: Made, change: str) -> None:
    changed = CHANGES[change](_pasted(made))
    found = read([changed if isinstance(changed, bytes) else changed.encode()], "", NOW)
    check(found.pem)
    assert subjects(found.pem) == ["CN=leadhook P-256,O=Example", "CN=between"]


def test_a_certificate_is_read_from_der_from_a_bundle_and_from_bare_base64(made: Made) -> None:
    key, leaf = made.keys[P256].read_bytes(), made.leaves[P256]
    der = made.converted("x509", "-in", leaf, "-outform", "DER")
    bundle = ("crl2pkcs7", "-nocrl", "-certfile", leaf, "-certfile", made.between[0])
    bare = "".join(leaf.read_text().split("-----")[2].split())
    texts = [der, made.converted(*bundle), made.converted(*bundle, "-outform", "DER"), bare.encode()]
    pfx = made.converted("pkcs12", "-export", "-inkey", made.keys[P256], "-in", leaf, "-passout", "pass:a")
    for text in texts:
        check(read([key, text], "", NOW).pem)
    check(read([base64.encodebytes(pfx)], "a", NOW).pem)


def test_the_chain_is_put_in_order_and_strangers_are_left_out(made: Made) -> None:
    leaf, between, root = (path.read_bytes() for path in (made.leaves[P256], made.between[0], made.root[0]))
    (made.directory / "strange").mkdir(exist_ok=True)
    strange = self_made_authority(made.directory / "strange", "strange")[0].read_bytes()
    key = made.keys[P256].read_bytes()
    expected = ["CN=leadhook P-256,O=Example", "CN=between", "CN=root"]
    for order in (
        (root, between, leaf, key),
        (between, key, strange, leaf, root),
        (key, leaf, leaf, between, root, key),
    ):
        assert subjects(read([b"".join(order)], "", NOW).pem) == expected
    assert subjects(read([key, leaf], "", NOW).pem) == expected[:1]
    assert subjects(read([key, leaf, root], "", NOW).pem) == expected[:1]  # between is missing


def test_of_two_keys_the_one_that_fits_is_taken(made: Made) -> None:
    texts = [made.keys[RSA].read_bytes(), made.keys[P256].read_bytes(), made.leaves[P256].read_bytes()]
    check(read(texts, "", NOW).pem)


def test_a_self_signed_certificate_is_a_client_certificate_too(made: Made) -> None:
    certificate, key = self_made_authority(made.directory, "alone")
    assert read([certificate.read_bytes(), key.read_bytes()], "", NOW).subject == "alone"


# Faults.


def _faults(made: Made) -> dict[str, tuple[list[bytes], str]]:
    leaf, key = made.leaves[P256].read_bytes(), made.keys[P256].read_bytes()
    short = made.key(RSA, "rsa_keygen_bits:1024")
    curve = made.directory / "short.key"
    openssl("ecparam", "-name", "prime192v1", "-genkey", "-noout", "-out", curve)
    public = made.converted("pkey", "-in", made.keys[P256], "-pubout")
    request = made.converted("req", "-new", "-key", made.keys[P256], "-subj", "/CN=x")
    dsa, x25519 = made.directory / "dsa.key", made.converted("genpkey", "-algorithm", "X25519")
    openssl("genpkey", "-genparam", "-algorithm", "DSA", "-pkeyopt", "dsa_paramgen_bits:1024", "-out", f"{dsa}.p")
    openssl("genpkey", "-paramfile", f"{dsa}.p", "-out", dsa)
    dsa_leaf = made.certified("dsa", dsa).read_bytes()
    weak = made.certified("weak", made.keys[RSA], "-sha1").read_bytes()
    return {
        "nothing": ([b"", b" \r\n"], "There is no certificate"),
        "words": ([b"our certificate is in the safe"], "This is no certificate"),
        "a web page": ([b"<!doctype html><p>Sign in"], "This is no certificate"),
        "only a key": ([key], "This is a private key, but no certificate"),
        "only a certificate": ([leaf], "a certificate, but not its private key"),
        "only a chain": ([leaf + made.between[0].read_bytes()], "a certificate, but not its private key"),
        "a public key": ([leaf, public], "A public key is not enough"),
        "a request": ([key, request], "A request is not a certificate"),
        "another key": ([leaf, made.keys[P384].read_bytes()], "does not fit the certificate"),
        "a key of another kind": ([leaf, made.keys[RSA].read_bytes()], "does not fit the certificate"),
        "two other keys": (
            [leaf, made.keys[RSA].read_bytes(), made.keys[P384].read_bytes()],
            "There are 2 private keys",
        ),
        "two certificates of a key": (
            [key, leaf, made.certified("again", made.keys[P256]).read_bytes()],
            "Several certificates fit the private key",
        ),
        "another leaf": ([key, leaf, made.other[0].read_bytes()], "several certificates that are no authority"),
        "expired": ([key, made.dated(timedelta(days=-9), timedelta(days=-2))], "The certificate expired on "),
        "expired a minute ago": ([key, made.dated(timedelta(days=-9), timedelta(minutes=-1))], "expired on "),
        "not valid yet": ([key, made.dated(timedelta(days=2), timedelta(days=9))], "is not valid before "),
        "RSA of 1024 bits": (
            [short.read_bytes(), made.certified("short", short).read_bytes()],
            "The RSA key has 1024 bits, which is too short",
        ),
        "a curve of 192 bits": (
            [curve.read_bytes(), made.certified("curve", curve).read_bytes()],
            "The elliptic curve key has 192 bits",
        ),
        "DSA": ([dsa.read_bytes(), dsa_leaf], "Keys of this kind cannot be used"),
        "X25519": ([x25519, leaf], "does not fit the certificate"),
        "signed with SHA-1": ([made.keys[RSA].read_bytes(), weak], "signed with an old algorithm, such as SHA-1"),
        "cut off": ([key, leaf[:-40]], 'A part is cut off: its line "-----END'),
        "a damaged certificate": ([key, leaf.replace(b"\n", b"\nAAAA", 3)], "A certificate is damaged"),
        "a damaged key": ([key.replace(b"\nM", b"\nAAAA"), leaf], "The private key is damaged"),
        "an empty block": ([b"-----BEGIN CERTIFICATE----------END CERTIFICATE-----"], "A certificate is damaged"),
        "a Java keystore": ([b"\xfe\xed\xfe\xed\x00\x00\x00\x02"], "This is a Java keystore"),
        "a damaged file": ([b"\x30\x82\x01\x00 no more"], "This file is no certificate"),
        "OpenSSL's own form": ([key, made.converted("x509", "-in", made.leaves[P256], "-trustout")], "OpenSSL's own"),
        "too long": ([b"-" * 100_001], "longer than 100 KB"),
        "a picture": ([b"\x89PNG\r\n\x1a\n\x00\x00"], "This is no certificate"),
    }


FAULTS = (
    *("nothing", "words", "a web page", "only a key", "only a certificate"),
    *("only a chain", "a public key", "a request", "another key", "a key of another kind"),
    *("two other keys", "two certificates of a key", "another leaf", "expired", "expired a minute ago"),
    *("not valid yet", "RSA of 1024 bits", "a curve of 192 bits", "DSA", "X25519"),
    *("signed with SHA-1", "cut off", "a damaged certificate", "a damaged key", "an empty block"),
    *("a Java keystore", "a damaged file", "OpenSSL's own form", "too long", "a picture"),
)


@pytest.fixture(scope="module")
def faults(made: Made) -> dict[str, tuple[list[bytes], str]]:
    return _faults(made)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_said_in_a_sentence(faults: dict[str, tuple[list[bytes], str]], fault: str) -> None:
    pasted, said = faults[fault]
    with pytest.raises(WrongSetting, match=said) as wrong:
        read(pasted, "", NOW)
    sentence = str(wrong.value)
    assert wrong.value.setting == "certificate"
    assert sentence[0].isupper()
    assert sentence.endswith((".", "-----."))
    assert "PRIVATE KEY-----\n" not in sentence


def test_every_fault_is_tried(faults: dict[str, object]) -> None:
    assert set(FAULTS) == set(faults)


def test_no_pass_phrase_is_asked_for_on_a_terminal(made: Made) -> None:
    """With a terminal as its input, OpenSSL itself would wait here."""
    key = made.directory / "locked.key"
    openssl("pkey", "-in", made.keys[P256], "-aes256", "-passout", "pass:open", "-out", key)
    ask = "import pty, sys; sys.exit(pty.spawn([sys.executable, '-c', sys.argv[1], *sys.argv[2:]]))"
    program = (
        "import sys\nfrom datetime import UTC, datetime\nfrom pathlib import Path\n"
        "from webapp.webhooks.client_certificates import read\n"
        "try: read([Path(name).read_bytes() for name in sys.argv[1:]], '', datetime.now(UTC))\n"
        "except ValueError as error: print(error)\n"
    )
    command = [sys.executable, "-c", ask, program, str(key), str(made.leaves[P256])]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.strip().endswith("The private key is encrypted. Enter its pass phrase, too.")


def test_no_secret_is_shown_in_logs(made: Made) -> None:
    assert "BEGIN" not in repr(read([_pasted(made).encode()], "", NOW))


# The warning.


@pytest.mark.parametrize(
    ("left", "said"),
    [
        (timedelta(days=300), None),
        (timedelta(days=30, seconds=1), None),
        (timedelta(days=30), "ends in 30 days, on 31 March 2027."),
        (timedelta(days=2, hours=5), "ends in 2 days, on 3 March 2027."),
        (timedelta(days=1, hours=5), "ends in 1 day, on 2 March 2027."),
        (timedelta(hours=20), "ends in 1 day, on 2 March 2027."),
        (timedelta(hours=5), "ends today, on 1 March 2027."),
        (timedelta(0), "ended on 1 March 2027"),
        (timedelta(days=-40), "ended on 20 January 2027"),
    ],
)
def test_people_are_warned_thirty_days_before_the_end(left: timedelta, said: str | None) -> None:
    now = datetime(2027, 3, 1, 10, tzinfo=UTC)
    warned = warning(now + left, now)
    assert warned is None if said is None else said in (warned or "")


def test_the_settings_say_which_of_them_are_secret() -> None:
    assert {setting.name: setting.secret for setting in client_certificates.SETTINGS} == {
        "certificate": True,
        "pass_phrase": True,
    }
