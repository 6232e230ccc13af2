"""The part of the web process's worker that answers a request, in one of its threads."""

import time
from datetime import timedelta
from typing import Any

from gunicorn.http.errors import NoMoreData

from webapp.servers.everyday import Everyday, EverydayAnswer
from webapp.servers.incoming import ChecksChunks, Connection
from webapp.servers.parking import Parking
from webapp.servers.together import TOGETHER, Elsewhere


class Answering(Parking):
    """Everyday requests are answered as gunicorn does it, in less time; gunicorn answers all others."""

    def handle_request(self, req: Any, conn: Any) -> bool:
        """A client that does not read is like one that has left: no line in the log."""
        try:
            if isinstance(req, Everyday):
                return self._answer(req, conn)
            req.body.reader = ChecksChunks(req.body.reader)
            return bool(super().handle_request(req, conn))
        except BlockingIOError:  # the patience of AnswerSocket is over
            raise NoMoreData from None

    def _answer(self, request: Everyday, conn: Connection) -> bool:
        """As gunicorn's `handle_request`."""
        answer, begins, ends = EverydayAnswer(request, conn.sock, self.cfg), request.app is None, True
        try:
            if begins:
                self.cfg.pre_request(self, request)
                self.nr += 1
            self._end_soon(answer)
            self._call(request, answer)
            return not answer.should_close()
        except Elsewhere as elsewhere:
            del request.environ[TOGETHER]
            conn.everyday, request.app, ends = request, elsewhere.app, False
            raise
        except OSError:
            raise
        except (Exception, SystemExit):
            if not answer.headers_sent:
                raise
            self.log.exception("Error handling request")  # a second answer on this connection would be wrong
            return False
        finally:
            if ends:
                try:
                    self.cfg.post_request(self, request, request.environ, answer)
                except Exception:
                    self.log.exception("Exception in post_request hook")

    def _call(self, request: Everyday, answer: EverydayAnswer) -> None:
        """Calls the app and sends what it answers."""
        begun_at = time.monotonic()
        body = (request.app or self.wsgi)(request.environ, answer.start_response)
        try:
            for piece in body:
                answer.write(piece)
            answer.close()
        finally:
            if self.log.access_log_enabled:
                took = timedelta(seconds=time.monotonic() - begun_at)
                self.log.access(answer, request, request.environ, took)
            if hasattr(body, "close"):
                body.close()

    def _end_soon(self, answer: EverydayAnswer) -> None:
        if self.nr >= self.max_requests and self.alive:
            self.log.info("Autorestarting worker after current request.")
            self.alive: bool = False
        if not self.alive or not self._keepalive:
            answer.force_close()
