"""A receiver for Leadhook webhooks in FastAPI. Save receiver.py beside it.

LEADHOOK_SHARED_TOKEN=whsec_… uvicorn fastapi_app:app --port 9000
"""

import os
from typing import Annotated

from fastapi import Depends, FastAPI, Request
from fastapi.responses import PlainTextResponse
from receiver import MAX_BODY, Refused, key_of, receive

app = FastAPI()
key = key_of(os.environ.get("LEADHOOK_SHARED_TOKEN", ""))


async def raw_body(request: Request) -> bytes:
    """The bytes as they came, which a model as the parameter would not give."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY:
            raise Refused(413, "the body is too long")
    return body


@app.post("/hook", response_class=PlainTextResponse)
def hook(request: Request, body: Annotated[bytes, Depends(raw_body)]):  # no async: FastAPI runs it in a thread
    return receive(key, request.headers, body)


@app.exception_handler(Refused)
async def refused(request: Request, error: Refused):
    code, words = error.args
    return PlainTextResponse(words, code)
