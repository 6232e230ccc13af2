"""python -m tests.receivers.samples: the sample receivers that `make test` leaves out, run by the same tests.

They are those in Go, Ruby and Java, and the recipes for Node-RED and the `webhook` daemon. What is missing is installed
with apt (go, puma, a JDK, webhook) and npm (Node-RED).
"""

import os
import subprocess
import sys

from tests.receivers.installing import apt, node, npm, run
from tests.support.tree import ROOT

ALL = "tests/journeys/test_deliveries_to_samples.py"
REFUSALS = "tests/journeys/test_receivers.py"
RECIPES = "tests/receivers/recipes.py"


def main() -> None:
    apt(go="golang-go", puma="puma", java="default-jdk-headless", webhook="webhook", jq="jq", openssl="openssl")
    node_red = [node(at_least=22), str(npm("node-red", {"node-red": "5.0.7"}) / "node-red" / "red.js")]
    versions = {
        "Go": run(["go", "version"]),
        "Puma": run(["puma", "--version"]),
        "Java": run(["java", "--version"]),
        "webhook": run(["webhook", "-version"]),
        "Node-RED": f"5.0.7 on Node {run([node_red[0], '--version'])}",
    }
    for name, printed in versions.items():
        print(f"{name}: {printed.strip().splitlines()[0]}")
    # The daemon answers 500 to everything that it refuses, which most tests of refusals do not expect.
    for samples, tests in [("go ruby java node-red", [ALL, REFUSALS]), ("webhook", [ALL, RECIPES])]:
        environ = {**os.environ, "LEADHOOK_SAMPLES": samples, "LEADHOOK_NODE_RED": " ".join(node_red)}
        command = [sys.executable, "-m", "pytest", "-v", "--no-header", "-p", "no:cacheprovider", *tests]
        if subprocess.run(command, cwd=ROOT, env=environ, check=False).returncode:
            sys.exit(1)


if __name__ == "__main__":
    main()
