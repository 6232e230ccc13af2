"""Leadhook's gunicorn worker with ten times less patience, for tests that wait for its end."""

from webapp.servers import incoming, outgoing, patient_worker

incoming.PATIENCE, incoming.LEAST_RATE, incoming.MOMENT = 1.0, 40_960, 0.2
outgoing.PATIENCE, outgoing.LEAST_RATE = 1.0, 40_960
patient_worker.LINGER, patient_worker.LOOK = 1.0, 0.1


class HastyWorker(patient_worker.PatientWorker):  # type: ignore[misc]
    """`gunicorn -k tests.support.hasty_worker.HastyWorker`"""
