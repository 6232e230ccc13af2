"""The options of DATABASE_URL: what cannot be used stops the start with a sentence, and is never dropped unsaid."""

from sqlalchemy.engine import URL

NOWHERE = {"host": "/nowhere", "hostaddr": "", "port": ""}  # no server is asked


def check_options(url: URL) -> None:
    """ValueError with the reason where SQLite, psycopg or PostgreSQL's library cannot use an option of the URL."""
    if url.get_backend_name() == "sqlite":
        if url.query:
            raise ValueError(f"cannot have options for SQLite: {', '.join(sorted(url.query))}")
        return
    if "prepare_threshold" in url.query:
        raise ValueError("cannot have prepare_threshold: set DATABASE_PREPARED_STATEMENTS=off instead")
    if doubled := sorted(name for name in url.query if name not in ("host", "options") and _is_list(url, name)):
        raise ValueError(f"has an option twice: {doubled[0]}")
    _check_with_libpq({name: value for name, value in url.query.items() if isinstance(value, str)})


def _is_list(url: URL, name: str) -> bool:
    return not isinstance(url.query[name], str)


def _check_with_libpq(given: dict[str, str]) -> None:
    """The library reads all options before it looks for the server. It quotes only the option that is wrong."""
    import psycopg  # only PostgreSQL needs it
    from psycopg.conninfo import make_conninfo, timeout_from_conninfo

    if "conninfo" in given:  # psycopg's own argument
        raise ValueError("has an option that cannot be used: conninfo")
    try:
        conninfo = make_conninfo(**given | NOWHERE)
        timeout_from_conninfo(dict(given))  # psycopg's own part
    except psycopg.ProgrammingError as error:
        raise ValueError(f"has an option that cannot be used: {_line(str(error))}") from None
    connection = psycopg.pq.PGconn.connect_start(conninfo.encode())
    said = _line(connection.error_message.decode(errors="replace"))
    connection.finish()
    if said.startswith("invalid "):
        raise ValueError(f"has an option that cannot be used: {said}")


def _line(text: str) -> str:
    return text.strip().splitlines()[0] if text.strip() else ""
