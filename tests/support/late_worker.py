"""Leadhook's gunicorn worker, which takes a minute to start."""

import time

from webapp.servers.patient_worker import PatientWorker


class LateWorker(PatientWorker):  # type: ignore[misc]
    """`gunicorn -k tests.support.late_worker.LateWorker`"""

    def init_process(self) -> None:
        print("starts", flush=True)
        time.sleep(60)
        super().init_process()
