"""Leadhook's gunicorn worker with more patience than any test needs, for what must not end meanwhile."""

from webapp.servers import even_share, incoming, patient_worker

incoming.PATIENCE = 600.0
even_share.MOST_STEPS = 20_000


class UnhurriedWorker(patient_worker.PatientWorker):  # type: ignore[misc]
    """`gunicorn -k tests.support.unhurried_worker.UnhurriedWorker`"""
