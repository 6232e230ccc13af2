"""Group commit: what several threads want to write at the same time goes into one transaction.

A commit costs a disk its flush and SQLite its one writer, however little is in it. So whoever comes while another
transaction of the group is under way waits with the others; one of them then writes for all, and commits once. Nobody
goes on before what is theirs has been committed.
"""

from collections import deque
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Generic, TypeVar

from webapp.db.transactions import transaction
from webapp.extensions import db

MOST = 16  # items of one transaction, so that others who write have their turn
LEAD, ALONE = "lead", "alone"
Item = TypeVar("Item")
Result = TypeVar("Result")


class _Member(Generic[Item, Result]):
    """A thread that waits, and what came of its item."""

    result: Result

    def __init__(self, item: Item) -> None:
        self.item = item
        self.error: BaseException | None = None
        self.part = ""  # what it is to do once it is woken: LEAD, ALONE, or nothing any more
        self._woken = Lock()
        self._woken.acquire()

    def wait(self) -> None:
        self._woken.acquire()

    def wake(self) -> None:
        self._woken.release()


class GroupCommit(Generic[Item, Result]):
    """Threads of one process that write together: `write` does it, for at least one item, in the transaction at hand.

    It returns a result for each item in their order: values, for it runs in the session of any of these threads.
    """

    def __init__(self, write: Callable[[Sequence[Item]], Sequence[Result]]) -> None:
        self._write = write
        self._lock = Lock()
        self._waiting: deque[_Member[Item, Result]] = deque()
        self._led = False

    def run(self, item: Item) -> Result:
        """What came of the item once its transaction is committed; raises what `write` raises for it alone."""
        mine: _Member[Item, Result] = _Member(item)
        with self._lock:
            if self._led:
                self._waiting.append(mine)
            else:
                self._led, mine.part = True, LEAD
        if mine.part != LEAD:
            mine.wait()
        if mine.part == LEAD:
            self._lead(mine)
        if mine.part == ALONE:
            with transaction():
                return self._write([item])[0]
        if mine.error is not None:
            raise mine.error
        return mine.result

    def _lead(self, mine: _Member[Item, Result]) -> None:
        """Writes what everybody waits for, then lets the first of those who came meanwhile lead."""
        members, part = [mine], ""
        try:
            with transaction():
                try:
                    db.session.connection()  # begins: whoever comes while others write is still of this one
                finally:  # where it cannot begin, it cannot for all, and nobody waits for that one after the other
                    members += self._take(MOST - 1)
                part = ALONE if len(members) > 1 else ""  # what is wrong with one item is nothing to the others
                for member, result in zip(members, self._write([member.item for member in members]), strict=True):
                    member.result = result
                part = ""  # if the commit fails, it fails for all
        except Exception as error:  # noqa: BLE001 - whoever waits raises it
            for member in members:
                member.error = error
        finally:
            self._hand_over(members, part)

    def _hand_over(self, members: Sequence[_Member[Item, Result]], part: str) -> None:
        with self._lock:
            following = self._waiting.popleft() if self._waiting else None
            self._led = following is not None
        for member in members:
            member.part = part
            member.wake()
        if following:
            following.part = LEAD
            following.wake()

    def _take(self, most: int) -> list[_Member[Item, Result]]:
        with self._lock:
            return [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]
