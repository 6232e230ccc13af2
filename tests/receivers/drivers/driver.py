"""For each id, timestamp, signatures and file with a body: yes or no. `sample` is library.py, else `svix`."""

import os
import runpy
import sys
from pathlib import Path

library, token, *given = sys.argv[1:]
if library == "svix":
    from svix.webhooks import Webhook, WebhookVerificationError

    take = Webhook(token).verify
else:
    from standardwebhooks import WebhookVerificationError

    os.environ["LEADHOOK_SHARED_TOKEN"] = token
    take = runpy.run_path("library.py")["lead_of"]
for at in range(0, len(given), 4):
    names = ("webhook-id", "webhook-timestamp", "webhook-signature")
    headers = dict(zip(names, given[at : at + 3], strict=True))
    try:
        take(Path(given[at + 3]).read_bytes(), headers)
        print("yes")
    except WebhookVerificationError:
        print("no")
