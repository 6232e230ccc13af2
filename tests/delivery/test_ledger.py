"""How PostgreSQL plans the query for due deliveries."""

import pytest
from sqlalchemy import text

from tests.conftest import ON_POSTGRESQL, AppMaker
from webapp.db.transactions import read_autocommit
from webapp.delivery import ledger


@pytest.mark.skipif(not ON_POSTGRESQL, reason="SQLite plans a statement once, where it prepares it")
def test_a_worker_has_its_batch_query_planned_only_once(make_app: AppMaker) -> None:
    """On a large table PostgreSQL took longer to plan it than to run it."""
    with make_app(worker=True, plans_once=True).app_context(), read_autocommit() as connection:
        for webhook_id in range(20):
            ledger.batch(connection, webhook_id)
        ours = "FROM pg_prepared_statements WHERE statement LIKE '%FROM deliveries%'"
        [found] = connection.execute(text(f"SELECT custom_plans, generic_plans {ours}")).all()
    assert found.custom_plans == 0
    assert found.generic_plans > 10
