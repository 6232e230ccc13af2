"""Runs fastmcp against /mcp, and prints what it got as JSON. python fast_client.py URL LEAD, with the key in KEY."""

import asyncio
import json
import os
import sys
from importlib.metadata import version
from typing import Any

from fastmcp import Client

URL, LEAD = sys.argv[1:3]


async def called(client: Any, name: str, **arguments: Any) -> Any:
    try:
        result = await client.call_tool(name, arguments, raise_on_error=False)
    except Exception as error:
        return [type(error).__name__, str(error)]
    return [result.is_error, result.content[0].text]


async def main() -> None:
    async with Client(URL, auth=os.environ["KEY"]) as client:
        found = {
            "way": f"fastmcp {version('fastmcp')}",
            "tools": [tool.name for tool in await client.list_tools()],
            "explained": await called(client, "explain_failure", id=LEAD),
            "wrong": await called(client, "list_leads", colour="red"),
            "unknown": await called(client, "nothing"),
            "retried": await called(client, "retry_lead", id=LEAD),
        }
    print(json.dumps(found))


asyncio.run(main())
