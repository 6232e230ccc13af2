"""The page that visitors go to after they sent a form."""

import re

from webapp.webhooks.addresses import check_url

EXAMPLE = "Write the address of a page, such as https://example.com/thanks. It begins with https:// and has no spaces."
# Its host goes into a policy, and all of it into a header: no ; in the host, and only ASCII.
_PAGE = re.compile(r"https://[A-Za-z0-9.-]+(:[0-9]{1,5})?([/?#][!-~]{0,2000})?")


def fault(url: str) -> str | None:
    """Why visitors cannot be sent to this address, as a sentence; None if they can.

    Host and port are judged as those of webhooks are.
    """
    if not _PAGE.fullmatch(url):
        return EXAMPLE
    wrong = check_url(url)
    return f"{wrong.rstrip('.')}." if wrong else None
