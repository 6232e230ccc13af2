"""Runs the PyPI package `mcp` against /mcp, and prints what it got as one line of JSON for each way to connect.

python python_client.py URL LEAD   with the keys in KEY and WRONG_KEY. Version 1 has one way, version 2 two.
"""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

import mcp
from mcp.client.streamable_http import streamable_http_client

URL, LEAD = sys.argv[1:3]
OF_1 = version("mcp").startswith("1.")
if OF_1:
    from httpx import AsyncClient
else:
    from httpx2 import AsyncClient


@asynccontextmanager
async def connected(way: str, key: str) -> AsyncIterator[tuple[Any, str]]:
    """A session, and the version of the protocol that both agreed on."""
    async with AsyncClient(headers={"Authorization": f"Bearer {key}"}, timeout=30) as http:
        transport = streamable_http_client(URL, http_client=http)
        if not OF_1:
            async with mcp.Client(transport, mode=way) as client:
                yield client, client.protocol_version
            return
        async with transport as (reads, writes, _), mcp.ClientSession(reads, writes) as session:
            begun = await session.initialize()
            yield session, begun.protocolVersion


async def called(session: Any, name: str, **arguments: Any) -> Any:
    """The text of a tool's answer: (is it an error, the text)."""
    try:
        result = await session.call_tool(name, arguments)
    except Exception as error:
        return [type(error).__name__, str(error)]
    return [result.isError if OF_1 else result.is_error, result.content[0].text]


async def steps(way: str) -> dict[str, Any]:
    async with connected(way, os.environ["KEY"]) as (session, agreed):
        listed = await session.list_tools()
        return {
            "way": f"mcp {version('mcp')}, {way}",
            "protocol": agreed,
            "tools": [tool.name for tool in listed.tools],
            "leads": await called(session, "list_leads", status="failed"),
            "explained": await called(session, "explain_failure", id=LEAD),
            "wrong": await called(session, "list_leads", colour="red"),
            "unknown": await called(session, "nothing"),
            "retried": await called(session, "retry_lead", id=LEAD),
            "again": await called(session, "retry_lead", id=LEAD),
        }


async def refused() -> str:
    """What a person reads whose key is wrong."""
    try:
        async with connected("auto", os.environ["WRONG_KEY"]):
            return "nothing"
    except BaseException as error:
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        return f"{type(error).__name__}: {error}"


for way in ("initialize",) if OF_1 else ("auto", "legacy"):
    print(json.dumps(asyncio.run(steps(way))), flush=True)
print(json.dumps({"refused": asyncio.run(refused())}), flush=True)
