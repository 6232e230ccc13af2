"""The database's clock as a date: for what one host stamps and another one compares, in minutes, hours or days."""

from datetime import datetime

from sqlalchemy import select

from webapp.clock import moment, now_sql
from webapp.extensions import db


def now() -> datetime:
    """The date and time of the database, aware, in UTC: the same on hosts whose own clocks differ."""
    return moment(db.session.execute(select(now_sql())).scalar_one())
