"""Leadhook's gunicorn worker with more patience than any test needs, for what must not end meanwhile."""

from webapp.servers import incoming, patient_worker

incoming.PATIENCE = 600.0


class UnhurriedWorker(patient_worker.PatientWorker):  # type: ignore[misc]
    """`gunicorn -k tests.support.unhurried_worker.UnhurriedWorker`"""
