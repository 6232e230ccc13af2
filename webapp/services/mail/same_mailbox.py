"""One name for a mailbox, however its address is written: to count the mails that it gets."""

import unicodedata

from webapp import text

# Domains of one provider whose addresses lead to the same mailbox.
_SAME = {
    **dict.fromkeys(("googlemail.com",), "gmail.com"),
    **dict.fromkeys(("protonmail.com", "protonmail.ch", "pm.me"), "proton.me"),
    **dict.fromkeys(("me.com", "mac.com"), "icloud.com"),
    **dict.fromkeys(("ya.ru", "yandex.com", "yandex.by", "yandex.kz", "yandex.ua", "yandex.com.tr"), "yandex.ru"),
}
# Signs, beside the dot, that make no difference there.
_IGNORED = {"proton.me": "-_", "yandex.ru": "-"}
_YAHOO = ("ymail.com", "rocketmail.com", "myyahoo.com")  # and yahoo.*: there a tag begins with a hyphen


def mailbox_of(address: str) -> str:
    """The address in lower case, without a tag and without dots before the @.

    Some providers keep `a.b@` and `ab@` apart. They share a name here all the same, because most mailboxes are at
    providers that do not.
    """
    seen = "".join(each for each in address if unicodedata.category(each) != "Cf")
    local, _, domain = text.sender(unicodedata.normalize("NFKC", seen.strip()).rstrip(".")).rpartition("@")
    domain = _SAME.get(domain, domain)
    local = local.strip('"')
    name = local.partition("+")[0] or local
    if domain in _YAHOO or domain.startswith("yahoo."):
        name = name.partition("-")[0] or name
    bare = "".join(each for each in name if each not in "." + _IGNORED.get(domain, ""))
    return f"{bare or name}@{domain}"
