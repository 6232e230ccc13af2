"""An S3 server on a socket, for the requests that our client makes. It checks every signature (AWS Signature Version 4)
and the checksum of every body, as S3 does, so that a wrong key is refused."""

import hashlib
import hmac
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qsl, quote, unquote, urlsplit

NAME, REGION, ACCESS_KEY, SECRET_KEY = "leadhook-files", "eu-central-1", "ours", "only for tests"
MISSING = b"<Error><Code>NoSuchKey</Code></Error>"


class Bucket:
    """`objects` by key; while `is_down`, every request is answered 503."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.parts: dict[str, dict[int, bytes]] = {}
        self.refused: list[str] = []
        self.is_down = False
        self.url = ""

    @property
    def environ(self) -> dict[str, str]:
        keys = {"FILES_ACCESS_KEY": ACCESS_KEY, "FILES_SECRET_KEY": SECRET_KEY}
        return {"FILES_BUCKET": NAME, "FILES_ENDPOINT": self.url, "FILES_REGION": REGION, **keys}


@contextmanager
def running_bucket() -> Iterator[Bucket]:
    bucket = Bucket()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(bucket))
    bucket.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield bucket
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _handler(bucket: Bucket) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def answer(self, code: int, body: bytes = b"", **headers: str) -> None:
            self.send_response(code)
            for name, value in {"Content-Length": str(len(body)), "ETag": '"1"', **headers}.items():
                self.send_header(name.replace("_", "-"), value)
            if "Last_Modified" not in headers:
                self.send_header("Last-Modified", "Fri, 27 Nov 2026 12:00:00 GMT")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def handle_one(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            parts = urlsplit(self.path)
            key, query = unquote(parts.path).removeprefix(f"/{NAME}/"), dict(parse_qsl(parts.query, True))
            fault = _fault(self, body)
            if fault:
                bucket.refused.append(fault)
                self.answer(403, b"<Error><Code>SignatureDoesNotMatch</Code></Error>")
            elif bucket.is_down:
                self.answer(503, b"<Error><Code>ServiceUnavailable</Code></Error>")
            else:
                getattr(self, f"on_{self.command.lower()}")(key, query, body)

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = handle_one  # noqa: N815

        def on_get(self, key: str, query: dict[str, str], body: bytes) -> None:
            found = bucket.objects.get(key)
            self.answer(404, MISSING) if found is None else self.answer(200, found)

        on_head = on_get

        def on_delete(self, key: str, query: dict[str, str], body: bytes) -> None:
            bucket.objects.pop(key, None)
            self.answer(204)

        def on_put(self, key: str, query: dict[str, str], body: bytes) -> None:
            if "partNumber" in query:
                bucket.parts[query["uploadId"]][int(query["partNumber"])] = body
            else:
                bucket.objects[key] = body
            self.answer(200)

        def on_post(self, key: str, query: dict[str, str], body: bytes) -> None:
            if "uploads" in query:
                bucket.parts[key] = {}
                self.answer(200, _xml("InitiateMultipartUploadResult", Bucket=NAME, Key=key, UploadId=key))
            elif "delete" in query:  # as on servers that cannot delete in bulk
                self.answer(501, b"<Error><Code>NotImplemented</Code></Error>")
            else:
                parts = bucket.parts.pop(query["uploadId"])
                bucket.objects[key] = b"".join(parts[number] for number in sorted(parts))
                self.answer(200, _xml("CompleteMultipartUploadResult", Bucket=NAME, Key=key, ETag='"1"'))

    return Handler


def _xml(root: str, **parts: str) -> bytes:
    return f"<{root}>{''.join(f'<{name}>{value}</{name}>' for name, value in parts.items())}</{root}>".encode()


def _fault(request: BaseHTTPRequestHandler, body: bytes) -> str | None:
    """What is wrong with the signature or the body; None if both are right."""
    given, headers = request.headers.get("Authorization", ""), request.headers
    digest = headers.get("x-amz-content-sha256", "")
    if digest != "UNSIGNED-PAYLOAD" and digest != hashlib.sha256(body).hexdigest():
        return "the body is not what was signed"
    fields = dict(part.strip().split("=", 1) for part in given.removeprefix("AWS4-HMAC-SHA256").split(",") if part)
    names = fields.get("SignedHeaders", "").split(";")
    if not {"host", "x-amz-date", "x-amz-content-sha256"} <= set(names):
        return "too little was signed"
    parts, at = urlsplit(request.path), headers["x-amz-date"]
    query = sorted((quote(k, safe="-_.~"), quote(v, safe="-_.~")) for k, v in parse_qsl(parts.query, True))
    canonical = "\n".join(
        (
            request.command,
            parts.path,
            "&".join(f"{name}={value}" for name, value in query),
            *(f"{name}:{' '.join(headers[name].split())}" for name in names),
            "",
            ";".join(names),
            digest,
        )
    )
    scope = f"{at[:8]}/{REGION}/s3/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{at}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = f"AWS4{SECRET_KEY}".encode()
    for step in (at[:8], REGION, "s3", "aws4_request"):
        key = hmac.digest(key, step.encode(), "sha256")
    right = hmac.digest(key, text.encode(), "sha256").hex()
    if fields.get("Credential") != f"{ACCESS_KEY}/{scope}" or fields.get("Signature") != right:
        return "the signature is wrong"
    return None
