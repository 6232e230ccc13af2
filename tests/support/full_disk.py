"""`unshare --mount python -m tests.support.full_disk DATABASE DIRECTORY`: Leadhook on a tmpfs that fills up.

Prints the status codes of /readyz and of a post: with room, full, and with room again. Needs root.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.conftest import KEYS
from tests.support.factories import ADA
from webapp import create_app
from webapp.config import Config
from webapp.db.transactions import transaction
from webapp.services.interfaces import interfaces
from webapp.services.people import users
from webapp.services.signs import readiness


def main(database: str, directory: str) -> None:
    home = Path(directory) / "small"
    home.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(home)], check=True)
    shutil.copy(database, home / "leadhook.sqlite3")
    readiness.EVERY = 0.0
    app = create_app(Config.load({**KEYS, "LEADHOOK_HOME": str(home), "REDIS_URL": f"unix://{home}/none.sock"}))
    with app.app_context(), transaction():
        owner = users.create_owner("alice@example.com", "correct horse battery", "Brightwater Solar")
        form = f"/f/{interfaces.create(owner.account_id, 'Contact').public_id}"
    client = app.test_client()

    def show(post: bool = True) -> None:
        print(client.get("/readyz").status_code)
        if post:
            print(client.post(form, data=ADA, headers={"Accept": "application/json"}).status_code)

    show()
    with open(home / "filler", "wb", buffering=0) as filler:
        try:
            while os.write(filler.fileno(), bytes(4096)) == 4096:
                pass
        except OSError:
            pass
    show()
    show(post=False)
    (home / "filler").unlink()
    show()


if __name__ == "__main__":
    main(*sys.argv[1:])
