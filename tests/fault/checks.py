"""What must hold whatever was broken. A check's docstring is the promise; it yields each case that breaks it."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from tests.fault.chaos import ALL, ALONE, CRASH, UNKNOWN, Cut
from tests.fault.ledger import Ledger
from tests.fault.mailbox import Accepted
from tests.fault.moves import longest_stop
from webapp.delivery.ledger import BATCH, LEASE_MARGIN, SLICE
from webapp.models import DeliveryState, MailState, ReportKind

Check = Callable[[Ledger], Iterator[str]]

SHOWN = 5  # cases of a broken promise
STUCK = 60.0  # seconds
READ_LATE = 2.0  # seconds until a receiver has read what a killed worker had sent
NOTICES = 1.0  # seconds that a busy machine may take to begin and to end an interpreter's end
COMMITS = 3.0  # seconds between SMTP's acceptance and our commit, at most


def accepted_is_kept(ledger: Ledger) -> Iterator[str]:
    """Every lead whose post was answered with success is in the database once, with its delivery."""
    for post in ledger.evidence.posts:
        kept = ledger.promises.get(post.lead, [])
        if post.accepted and [promise.lead_id for promise in kept] != [post.lead_id]:
            yield f"{post.lead} ({post.lead_id}) is there {len(kept)} times"
        elif post.accepted and kept[0].delivery_id is None:
            yield f"{post.lead} has no delivery"


def kept_is_received(ledger: Ledger) -> Iterator[str]:
    """Every lead in the database was received at its own receiver and answered with success, and is Delivered."""
    for promise in ledger.books.promises:
        sends, where = ledger.sends.get(promise.message_id, []), ledger.evidence.webhooks.get(promise.webhook_id)
        success = {one.key for one in ledger.tries.get(promise.message_id, []) if one.delivered}
        answered = {send.key for send in sends if send.answered and 200 <= send.answered < 300}
        if promise.state != DeliveryState.DELIVERED:
            yield f"{promise.lead} is {promise.state} after {promise.tries} tries, received {len(sends)} times"
        elif not success <= answered or not success:
            yield f"{promise.lead} is delivered, but no such answer was given"
        elif {send.receiver for send in sends} != {where}:
            yield f"{promise.lead} was for {where} and reached {sorted({send.receiver for send in sends})}"


def received_was_accepted(ledger: Ledger) -> Iterator[str]:
    """Nothing was received that was not accepted; only a post whose answer was lost may have been, unknown to it."""
    posts = {post.lead: post for post in ledger.evidence.posts}
    for send in ledger.evidence.sends:
        post, kept = posts.get(send.lead), ledger.promises.get(send.lead, [])
        if post is None:
            yield f"{send.message_id} tells of {send.lead!r}, which nobody posted"
        elif not post.accepted and not _may_be_kept(ledger, post.status):
            yield f"{send.lead} was received, though its post was answered {post.status}"
        elif [(one.message_id, one.payload) for one in kept] != [(send.message_id, send.body)]:
            yield f"{send.lead} was received as {send.message_id} with a body that is not the delivery's"


def _may_be_kept(ledger: Ledger, status: int | None) -> bool:
    """Whether a post may have been committed whose answer says otherwise: its end, or its database's, came between."""
    return status is None or (status >= 500 and ledger.evidence.database == "postgresql")


def signatures_verify(ledger: Ledger) -> Iterator[str]:
    """Every send verifies with the Standard Webhooks library."""
    for send in ledger.evidence.sends:
        if send.fault:
            yield f"{send.receiver} received {send.message_id}: {send.fault}"


def repeats_have_one_id(ledger: Ledger) -> Iterator[str]:
    """However often a lead is sent, it carries the same webhook-id."""
    ids: dict[str, set[str]] = {}
    for send in ledger.evidence.sends:
        ids.setdefault(send.lead, set()).add(send.message_id)
    for lead, used in ids.items():
        if len(used) > 1:
            yield f"{lead} came as {sorted(used)}"


def delivered_is_final(ledger: Ledger) -> Iterator[str]:
    """What was recorded as delivered is not sent again."""
    for message_id, tries in ledger.tries.items():
        success = [one.timestamp for one in tries if one.delivered]
        later = [send for send in ledger.sends.get(message_id, []) if success and send.timestamp > success[0]]
        if later or len(success) > 1:
            yield f"{message_id} was delivered at {success} and sent again at {[send.timestamp for send in later]}"


def sends_are_recorded(ledger: Ledger) -> Iterator[str]:
    """Every send has its attempt row, but for one batch per lane that a killed worker held. A try may send twice."""
    batches: dict[tuple[Cut, str], Counter[tuple[str, int]]] = defaultdict(Counter)
    for send in ledger.cut_off:
        killed = [cut for cut in ledger.evidence.cuts if _cuts_sends(cut) and cut.ended_at > send.at - READ_LATE]
        if not killed or killed[0].began_at - send.at > SLICE + ledger.evidence.deadline + LEASE_MARGIN:
            yield f"{send.lead} was sent to {send.receiver} at {send.at:.2f} without a record, and no worker was killed"
        else:
            batches[killed[0], send.receiver][send.message_id, send.timestamp] += 1
    for (cut, receiver), tries in batches.items():
        if len(tries) > BATCH or max(tries.values()) > 2:
            yield f"{tries.total()} sends to {receiver} lost their record when one process was killed: {cut}"


def _cuts_sends(cut: Cut) -> bool:
    return cut.role in ("fast", "slow", ALL, UNKNOWN)


def wire_repeats_are_closed_connections(ledger: Ledger) -> Iterator[str]:
    """One try is on the wire twice only where a kept connection was closed without an answer."""
    for message_id, sends in ledger.sends.items():
        for first, second in pairwise(sends):
            if first.key == second.key and (first.fresh or not second.fresh):
                yield f"{message_id} was sent twice as one try: {first.behaviour}, then {second.behaviour}"


def tries_are_counted(ledger: Ledger) -> Iterator[str]:
    """No record overwrote a newer one: a delivery counts its attempts, two of the same try as one."""
    for promise in ledger.books.promises:
        made = sum(one.automatic and not one.again for one in ledger.tries.get(promise.message_id, []))
        if promise.tries != made and promise.delivery_id is not None:
            yield f"{promise.lead} counts {promise.tries} tries and has {made} attempts"


def lanes_move(ledger: Ledger) -> Iterator[str]:
    """No lane is stuck: with something due, it moves again within 60 s of the last kill, whoever was killed."""
    kills = sorted(cut.ended_at for cut in ledger.evidence.cuts if _cuts_sends(cut) or cut.role == ALONE)
    stop = longest_stop(ledger, kills)
    if stop.seconds > STUCK:
        yield f"{stop.receiver} stood still for {stop.seconds:.1f} s before {stop.lead} was sent"
    for webhook_id in ledger.books.held:
        yield f"the lane of {ledger.evidence.webhooks[webhook_id]} is still held"


def failures_are_told_once(ledger: Ledger) -> Iterator[str]:
    """Every delivery that failed an automatic try belongs to exactly one "failed" report, which was mailed."""
    mailed = {mail.message_id for mail in ledger.evidence.mails}
    failed = {one.delivery_id for one in ledger.books.tries if one.automatic and not (one.delivered or one.again)}
    for delivery_id in failed | set(ledger.told):
        told = ledger.told.get(delivery_id, [])
        if delivery_id not in failed:
            yield f"delivery {delivery_id} is reported and never failed"
        elif len(told) != 1 or told[0].mail not in mailed:
            yield f"delivery {delivery_id} failed and is in {len(told)} reports, mailed as {[one.mail for one in told]}"


def nobody_gave_up(ledger: Ledger) -> Iterator[str]:
    """No delivery ran out of retries: the schedule outlasts the chaos."""
    for one in ledger.books.told:
        if one.kind != ReportKind.FAILED:
            yield f"delivery {one.delivery_id} is reported as {one.kind}"


def mails_are_sent(ledger: Ledger) -> Iterator[str]:
    """Every mail reached SMTP, each notified lead has one mail, and SMTP was given nothing else."""
    reached = {mail.message_id for mail in ledger.evidence.mails}
    known = {letter.message_id for letter in ledger.books.letters}
    for letter in ledger.books.letters:
        just_written = letter.state == MailState.DUE and letter.tries == 0
        if (letter.state != MailState.SENT or letter.message_id not in reached) and not just_written:
            yield f"{letter.kind} {letter.message_id} is {letter.state} after {letter.tries} tries"
    yield from (f"{message_id} was sent, and is in no table" for message_id in sorted(reached - known))
    written = Counter(letter.lead for letter in ledger.books.letters if letter.lead)
    yield from (f"{lead} is told of by {number} mails" for lead, number in written.items() if number > 1)


def mail_repeats_are_cut(ledger: Ledger) -> Iterator[str]:
    """A mail reaches SMTP twice only where a crash fell between acceptance and commit, with the same Message-ID."""
    cuts = [cut for cut in ledger.evidence.cuts if _cuts_mail(cut)]
    for mail in repeated_mails(ledger.evidence.mails):
        if not mail.dropped and not any(cut.began_at - COMMITS <= mail.at <= cut.ended_at + 1 for cut in cuts):
            yield f"{mail.message_id} ({mail.subject}) was accepted at {mail.at:.2f} and sent again without a crash"


def repeated_mails(mails: Sequence[Accepted]) -> Iterator[Accepted]:
    """The acceptances after which the same mail came once more."""
    last = {mail.message_id: mail for mail in mails}
    return (mail for mail in mails if last[mail.message_id] is not mail)


def _cuts_mail(cut: Cut) -> bool:
    return cut.role in ("mail", ALL, UNKNOWN) or cut.what in (CRASH, "stop SMTP")


def sigterm_ends_in_time(ledger: Ledger) -> Iterator[str]:
    """On SIGTERM under load worker.py ends within deadline + 5 s, with exit code 0."""
    for one in ledger.evidence.exits:
        if one.seconds > ledger.evidence.deadline + 5 + NOTICES or one.code != 0:
            yield f"it took {one.seconds:.1f} s with {one.in_flight} sends in flight, exit code {one.code}: {one.last}"


def only_the_killed_died(ledger: Ledger) -> Iterator[str]:
    """No worker process died that was not killed."""
    for line in re.findall(r".*a worker process (?:died|failed|did not end).*", ledger.evidence.log):
        if "code=-9" not in line:
            yield line


def captures_fail_only_with_their_database(ledger: Ledger) -> Iterator[str]:
    """While the web process and the database run, no post is declined, whatever else is away."""
    crashes = [cut for cut in ledger.evidence.cuts if cut.what == CRASH]
    for post in ledger.evidence.posts:
        away = any(post.at < cut.ended_at + COMMITS and post.ended_at > cut.began_at for cut in crashes)
        if post.status is not None and not post.accepted and not away:
            yield f"{post.lead} was answered {post.status}"


CHECKS: tuple[Check, ...] = (
    accepted_is_kept,
    kept_is_received,
    received_was_accepted,
    signatures_verify,
    repeats_have_one_id,
    delivered_is_final,
    sends_are_recorded,
    wire_repeats_are_closed_connections,
    tries_are_counted,
    lanes_move,
    failures_are_told_once,
    nobody_gave_up,
    mails_are_sent,
    mail_repeats_are_cut,
    sigterm_ends_in_time,
    only_the_killed_died,
    captures_fail_only_with_their_database,
)


def broken(ledger: Ledger, checks: Sequence[Check] = CHECKS) -> list[str]:
    """The promises that do not hold, each with the first cases that break it."""
    found = []
    for check in checks:
        cases = list(check(ledger))
        if cases:
            more = [f"… and {len(cases) - SHOWN} more"] if len(cases) > SHOWN else []
            found.append("\n  - ".join([f"BROKEN: {check.__doc__}", *[case[:300] for case in cases[:SHOWN]], *more]))
    return found
