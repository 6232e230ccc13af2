#!/usr/bin/env bash
# A generated client loses whole answers because one list of the document does not say what is in it.
#
# One expects: {"type": "array"} is a list of anything. JSON Schema 2020-12, which OpenAPI 3.1 uses, says so, and the
#   document is valid. So the client has that one value as a list of Any, as it has a value without a type as Any.
# What happens: openapi-python-client leaves out the schema that has the list, then each schema that refers to it. An
#   operation that answers with one of these stays, but it reads no answer any more: `parsed` is None for each 200. The
#   generator prints warnings and exits with 0. With "items": {} in the same place nothing is lost.
# Versions: openapi-python-client 0.29.1, openapi-spec-validator 0.9.0.
# Seen: the table at the end.
# Why it matters: a program that makes its document from its code writes such a list for one of any kind. The client
#   builds and type-checks, and its caller finds None where the lead should be.
#
# Needs python3 with venv.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

python3 -m venv env
env/bin/pip -q install openapi-python-client==0.29.1 openapi-spec-validator==0.9.0 2>/dev/null

cat >look.py <<'PY'
import json
import subprocess
from pathlib import Path

from openapi_spec_validator import validate


def document(consents):
    reply = {"200": {"description": "Found.", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Page"}}}}}
    lead = {"type": "object", "properties": {"id": {"type": "string"}, "consents": consents}}
    page = {"type": "object", "properties": {"data": {"type": "array", "items": {"$ref": "#/components/schemas/Lead"}}}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Leads", "version": "1"},
        "paths": {"/leads": {"get": {"operationId": "list_leads", "tags": ["leads"], "responses": reply}}},
        "components": {"schemas": {"Lead": lead, "Page": page}},
    }


for name, consents in {"without items": {"type": "array"}, "items: {}": {"type": "array", "items": {}}}.items():
    written = document(consents)
    validate(written)
    Path("openapi.json").write_text(json.dumps(written))
    command = ["env/bin/openapi-python-client", "generate", "--path", "openapi.json", "--overwrite", "--output-path", "client"]
    ended = subprocess.run([*command, "--meta", "none"], capture_output=True, text=True)
    models = sorted(each.stem for each in Path("client/models").glob("[!_]*.py"))
    reads = "Page.from_dict" in Path("client/api/leads/list_leads.py").read_text()
    told = "says what it removed" if "must have items" in ended.stdout + ended.stderr else "removed nothing"
    print(f"{name}: exit {ended.returncode}, {told}, models {', '.join(models) or 'none'}, reads the 200: {'yes' if reads else 'no'}")
PY
env/bin/python look.py | tee seen

cat >expected <<'TXT'
without items: exit 0, says what it removed, models none, reads the 200: no
items: {}: exit 0, removed nothing, models lead, page, reads the 200: yes
TXT
diff expected seen && echo "As described."
