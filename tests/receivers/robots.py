"""python -m tests.receivers.robots: filters for robots let our User-Agent pass.

isbot is what n8n's Webhook node asks with its option *Ignore Bots*. It is installed with npm, in a temporary directory.
"""

import json
import subprocess
import sys
import tempfile

from webapp.webhooks.sender import USER_AGENT

PACKAGES = {"isbot3": "3.6.13", "isbot5": "5.2.3"}
# A name alone is a robot for both: so the answers for ours mean something.
AGENTS = {USER_AGENT: False, "Leadhook/1.0": True, f"{USER_AGENT[:-1]}; +https://leadhook.example/)": True}
LOOK = """
import isbot3 from "isbot3";
import { isbot as isbot5 } from "isbot5";
const agents = JSON.parse(process.argv[2]);
console.log(JSON.stringify(agents.map((agent) => [isbot3(agent), isbot5(agent)])));
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        wanted = [f"{name}@npm:isbot@{version}" for name, version in PACKAGES.items()]
        subprocess.run(
            ["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", *wanted],
            cwd=folder,
            check=True,
        )
        with open(f"{folder}/look.mjs", "w") as file:
            file.write(LOOK)
        asked = ["node", "look.mjs", json.dumps(list(AGENTS))]
        printed = subprocess.run(asked, cwd=folder, check=True, capture_output=True, text=True).stdout
    wrong = False
    for (agent, is_robot), found in zip(AGENTS.items(), json.loads(printed), strict=True):
        as_expected = found == [is_robot] * len(PACKAGES)
        wrong = wrong or not as_expected
        print(f"{agent}: {dict(zip(PACKAGES, found, strict=True))}{'' if as_expected else ', not as expected'}")
    sys.exit(wrong)


if __name__ == "__main__":
    main()
