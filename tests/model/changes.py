"""Changes of the webhook: a pause, a resume, a save, a removal, and the begin and end of a maintenance window.

Each locks the lane's row, reads the rows, and writes them: webapp/delivery/states.py and maintenance.py, and
webapp/services/webhooks. Made worse where the rules say so.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from tests.model.protocol import (
    ACTIVE,
    ARCHIVED,
    BEGINS,
    BEGUN,
    ENDS,
    HOOK,
    NO_WINDOW,
    PAUSED,
    PERSON,
    PLANNED,
    WINDOW,
    Delivery,
    Errand,
    Hook,
    Rules,
    State,
    Worse,
    cancelled,
    on_hold,
    paused,
    released,
)

Rows = tuple[Delivery, ...]


class Changed(NamedTuple):
    """What a change makes of the webhook and its deliveries."""

    hook: Hook
    rows: list[tuple[int, Delivery]]
    writes: tuple[tuple[int, Any], ...]


def read_early(state: State, rules: Rules, errand: Errand) -> Errand | None:
    """What it does next if it reads before its lock, or has none; None if it does not."""
    kind, worse = errand.kind, rules.worse
    hook, blank = state.hook, [lead for lead, row in enumerate(state.deliveries) if not row.payload]
    if kind == "resume" and worse is Worse.RESUME_TRUSTS:
        return errand._replace(at="lock" if hook.state == PAUSED else "done", read=(hook,))
    if kind == "save" and worse is Worse.RENDER_READS_EARLY:
        return errand._replace(at="lock", read=tuple(blank))
    if (kind, worse) in ((ENDS, Worse.END_WITHOUT_LOCK), ("cancel", Worse.CANCEL_WITHOUT_LOCK)):
        return errand._replace(at="change", read=(hook,))
    return None


def form(state: State, rules: Rules) -> str:
    """The webhook's state by the form that a process has: as it is now, where every change of it changes the form's
    version, too."""
    if state.hook.state == ARCHIVED and rules.worse is Worse.REMOVE_UNVERSIONED:
        return ACTIVE
    was_resumed = any(one.kind == "resume" and one.at == "done" for one in state.errands)
    return PAUSED if was_resumed and rules.worse is Worse.RESUME_UNVERSIONED else state.hook.state


def change(state: State, rules: Rules, errand: Errand, rows: Rows) -> Changed:
    """What this request writes."""
    hook: Hook = errand.read[0] if errand.read and errand.kind != "save" else state.hook
    after, changed = _CHANGES[errand.kind](hook, rows, rules, errand)
    if errand.kind == "cancel":  # it writes the window's columns only
        hook, after = state.hook, state.hook._replace(window=after.window) if after != hook else state.hook
    writes: list[tuple[int, Any]] = [(HOOK, after)] if after != hook else []
    return Changed(after, changed, (*writes, *changed))


def noted(state: State, errand: Errand, changed: Changed) -> State:
    """The state with what the checker notes of this change."""
    broken = state.broken
    if state.hook.state == ARCHIVED != changed.hook.state:
        broken = broken or "a removed webhook sends again"
    if errand.kind == ENDS and state.hook.state != ARCHIVED and changed.hook.state == ACTIVE and state.stopped:
        broken = broken or "a window ends what a person or an answer paused"
    stops = {"pause": state.hook.state != ARCHIVED, "resume": False}
    return state._replace(broken=broken, stopped=stops.get(errand.kind, state.stopped))


def _archive(hook: Hook, rows: Rows, rules: Rules, _: Errand) -> tuple[Hook, list[tuple[int, Delivery]]]:
    return hook._replace(state=ARCHIVED, by=""), cancelled(rows, rules)


def _pause(hook: Hook, rows: Rows, rules: Rules, _: Errand) -> tuple[Hook, list[tuple[int, Delivery]]]:
    return paused(hook, PERSON, rules), on_hold(rows)


def _resume(hook: Hook, rows: Rows, rules: Rules, _: Errand) -> tuple[Hook, list[tuple[int, Delivery]]]:
    if hook.state != PAUSED:
        return hook, []
    window = NO_WINDOW if hook.window == BEGUN else hook.window
    return Hook(ACTIVE, "", window), released(rows)


def _save(hook: Hook, rows: Rows, rules: Rules, errand: Errand) -> tuple[Hook, list[tuple[int, Delivery]]]:
    """Makes the payloads that are missing; then what was on hold is due, if the webhook is active."""
    early = rules.worse is Worse.RENDER_READS_EARLY
    waits = ("pending", "held", "blank") if rules.worse is Worse.RENDERS_ALL else ()
    made = list(rows)
    for lead, row in enumerate(rows):
        if lead in errand.read if early else (not row.payload or row.state in waits):
            state = "held" if row.state == "blank" else row.state
            made[lead] = row._replace(payload=errand.number, state=state)
    due = dict(released(tuple(made))) if hook.state == ACTIVE else {}
    after = {**dict(enumerate(made)), **due}
    return hook, [(lead, row) for lead, row in after.items() if row != rows[lead]]


def _begins(hook: Hook, rows: Rows, rules: Rules, _: Errand) -> tuple[Hook, list[tuple[int, Delivery]]]:
    if hook.window != PLANNED:
        return hook, []
    if hook.state != ACTIVE:  # it was paused before, and that pause stays
        return hook._replace(window=NO_WINDOW), []
    return Hook(PAUSED, WINDOW, BEGUN), on_hold(rows)


def _ends(hook: Hook, rows: Rows, rules: Rules, _: Errand) -> tuple[Hook, list[tuple[int, Delivery]]]:
    frees_all = rules.worse is Worse.END_FREES_ALL and hook.state == PAUSED
    if hook.window != BEGUN and not frees_all:
        return hook, []
    if hook.state != PAUSED or (hook.by != WINDOW and not frees_all):
        return hook._replace(window=NO_WINDOW), []
    return Hook(), [] if rules.worse is Worse.RELEASES_LATER else released(rows)


def _cancel(hook: Hook, rows: Rows, rules: Rules, _: Errand) -> tuple[Hook, list[tuple[int, Delivery]]]:
    """One that has begun ends at once instead, which is the sweep's to do."""
    return (hook._replace(window=NO_WINDOW) if hook.window == PLANNED else hook), []


_CHANGES: dict[str, Callable[[Hook, Rows, Rules, Errand], tuple[Hook, list[tuple[int, Delivery]]]]] = {
    "archive": _archive,
    "remove": _archive,
    "pause": _pause,
    "resume": _resume,
    "save": _save,
    BEGINS: _begins,
    ENDS: _ends,
    "cancel": _cancel,
}
