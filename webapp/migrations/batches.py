"""Changes to large tables while the previous version serves: see docs/recipes/add-a-migration.md."""

import sqlalchemy as sa
from alembic import op

ROWS = 5000  # a transaction of so many rows takes about a tenth of a second


def update_in_batches(table: str, values: str, where: str) -> None:
    """`UPDATE table SET values WHERE where`, for a range of ids at a time, each in a transaction of its own.

    Other writers get their turn between two of them. Run again after an interruption it must do no harm: `where`
    should not match what is done already.
    """
    with op.get_context().autocommit_block():
        connection = op.get_bind()
        last = connection.scalar(sa.text(f"SELECT max(id) FROM {table}")) or 0  # noqa: S608
        first = connection.scalar(sa.text(f"SELECT min(id) FROM {table}")) or 0  # noqa: S608
        step = sa.text(f"UPDATE {table} SET {values} WHERE id >= :first AND id < :after AND {where}")  # noqa: S608
        while first <= last:
            connection.execute(step, {"first": first, "after": first + ROWS})
            first += ROWS


def add_column(table: str, column: sa.Column[object]) -> None:
    """Adds a column, unless an earlier try that was interrupted has added it."""
    if column.name not in {each["name"] for each in sa.inspect(op.get_bind()).get_columns(table)}:
        op.add_column(table, column)


def create_index(name: str, table: str, columns: list[str], where: str | None = None) -> None:
    """An index, on PostgreSQL without a lock that writers wait for; one that an interruption left is made again.

    It waits for the transactions that use the table, without a limit, but no one waits for it.
    """
    condition = sa.text(where) if where else None
    with op.get_context().autocommit_block():
        op.drop_index(name, table, if_exists=True, postgresql_concurrently=True)
        op.create_index(
            name,
            table,
            columns,
            sqlite_where=condition,
            postgresql_where=condition,
            postgresql_concurrently=True,
        )


def replace_index(name: str, table: str, columns: list[str], where: str | None = None) -> None:
    """Other columns for an index. The old one serves until the new one is complete."""
    create_index(f"{name}_new", table, columns, where)
    with op.get_context().autocommit_block():
        op.drop_index(name, table, if_exists=True, postgresql_concurrently=True)
    if op.get_bind().dialect.name == "postgresql":
        op.execute(f"ALTER INDEX {name}_new RENAME TO {name}")
        return
    create_index(name, table, columns, where)  # SQLite renames no index
    op.drop_index(f"{name}_new", table)
