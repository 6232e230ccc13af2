"""MetaLocator's headers: what its PHP sample computes, with the vector of the research and with PHP itself."""

import shutil
import subprocess
from dataclasses import replace

import pytest

from tests.webhooks.authentications.messages import AT, BODY, MESSAGE, added, refusal
from webapp.webhooks.authentications.metalocator import Metalocator

# The formula of MetaLocator's documents as PHP computes it.
SAMPLE = '<?php echo base64_encode(hash_hmac("sha256", $argv[1] . stream_get_contents(STDIN), $argv[2]));'


def test_the_signature_is_base64_of_the_hex_digest():
    message = replace(MESSAGE, headers={}, body=b'{"lead":{"id":"1"},"location":{"id":"2"}}')
    assert Metalocator(b"secret").add_to(message).headers == {
        "x-metalocator-webhook-signature": (
            "ZjQ2MDUxMGI4MTg5YzQwMjY4ZjU5ZjEzZjJhMThjNWEzMDcwYjU3YjJiZGM1OGYwMjg2YmRlZWNlNjJjNDliYg=="
        ),
        "x-metalocator-webhook-signature-timestamp": str(AT),
    }


@pytest.mark.skipif(not shutil.which("php"), reason="needs PHP")
@pytest.mark.parametrize("token", ["secret12", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "a+b %é:\"'$x"])
@pytest.mark.parametrize("body", [BODY, b"", b"\x00\xff"])
def test_php_computes_the_same(token, body, tmp_path):
    sample = tmp_path / "sample.php"
    sample.write_text(SAMPLE)
    command = ["php", str(sample), str(AT), token]
    printed = subprocess.run(command, input=body, capture_output=True, check=True).stdout.decode()
    headers = added("metalocator", {}, {"secret": token}, replace(MESSAGE, body=body))
    assert headers["x-metalocator-webhook-signature"] == printed


@pytest.mark.parametrize("token", ["", "geheim", "geheim-geheim\n", " geheim-geheim"])
def test_a_token_that_cannot_be_meant_is_refused(token):
    assert refusal("metalocator", {}, {"secret": token}).setting == "secret"
