"""Forms of pages as a browser sends them if a person changes nothing."""

from html.parser import HTMLParser


def form_of(page: str, form_id: str) -> dict[str, str]:
    """The names and values that pressing its first button sends."""
    reader = _Reader(form_id)
    reader.feed(page)
    return reader.sent


class _Reader(HTMLParser):
    def __init__(self, form_id: str) -> None:
        super().__init__()
        self.sent: dict[str, str] = {}
        self._form_id, self._inside = form_id, False
        self._name = self._text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._inside = given.get("id") == self._form_id
        if not self._inside:
            return
        kind, name = given.get("type", "text"), given.get("name", "")
        if tag == "input" and name and (kind not in ("checkbox", "radio", "file") or "checked" in given):
            self.sent[name] = given.get("value", "")
        elif tag in ("select", "textarea"):
            self._name, self._text = name, ""
        elif tag == "option" and ("selected" in given or self._name not in self.sent):
            self.sent[self._name] = given["value"]

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._inside = False
        elif tag == "textarea" and self._inside:
            self.sent[self._name] = self._text.removeprefix("\r").removeprefix("\n")

    def handle_data(self, data: str) -> None:
        self._text += data
