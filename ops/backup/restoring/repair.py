"""Makes a damaged store anew where no event is lost with it: `repair_without_loss`. No service runs then."""

import logging
import time

import apsw
import msgspec

from bus.log.chain import Head
from ops.backup.restoring.plan import known_end, plan_restore
from ops.backup.restoring.present import read_present
from ops.backup.restoring.repairs import MOST_IN_A_DAY, Repair, keep_repair, repairs_of_a_day
from ops.backup.restoring.restore import Restored, restore
from ops.backup.restoring.restore_path import Moment
from ops.backup.restoring.stopped_stream import highest_timeline_in_stream
from ops.settings import Settings
from ops.targets.errors import BackupError

logger = logging.getLogger(__name__)


def repair_without_loss(
    settings: Settings, damage: str, *, version: str, is_known_to_end: bool
) -> Restored | None:
    """The store made anew, up to the last event that is known; `None` if that event cannot be brought back.

    If the file does not say any more where its log ended, the archive's end is taken, provided that the log
    `is_known_to_end` there: the service had stopped, and not crashed.
    """
    places, now = settings.places, time.time_ns() // 1_000_000
    if len(repairs_of_a_day(settings.data, now)) >= MOST_IN_A_DAY:
        return None
    present = read_present(places.store)
    head = None if present is None else present.head
    try:
        plan = plan_restore(places, Moment(latest=True), check=True)
        end = known_end(places, present)
        if plan.position < end or (head is None and not is_known_to_end) or end == 0:
            return None
        logger.error("%s; it is being made anew, up to its last position %d", damage, plan.position)
        return make_anew(
            settings,
            Repair(at=now, problem=damage, position=plan.position),
            version=version,
            same_as=head,
            highest_timeline=0 if head is not None else highest_timeline_in_stream(settings),
        )
    except (BackupError, OSError, apsw.Error) as error:
        if isinstance(error, BackupError) and error.reason == "not_found":
            # There are no sources to make the store of; the caller reports that.
            return None
        logger.error("%s, and it could not be made anew without a loss: %s", damage, error)  # noqa: TRY400
        return None


def make_anew(
    settings: Settings, repair: Repair, *, version: str, same_as: Head | None, highest_timeline: int = 0
) -> Restored:
    """Makes the store anew from all sources: the same log up to the head `same_as`, if that is known.

    The damaged file is set aside; the record of the repair says where. If this raises, the store is as it
    was.

    Raises:
        BackupError: the sources do not lead to that head.
        OSError, apsw.Error: a file cannot be read or written.
    """
    # Recorded before the repair begins, so that a repair that kills the process counts, too.
    keep_repair(settings.data, repair)
    made = restore(
        settings.places,
        Moment(latest=True),
        version=version,
        safety=False,
        is_damaged=True,
        same_as=same_as,
        highest_timeline=highest_timeline,
    )
    try:
        keep_repair(settings.data, msgspec.structs.replace(repair, set_aside=made.set_aside))
    except OSError as error:
        # The repair is done; only the place of the damaged file is not recorded.
        logger.error("where the damaged file is could not be kept: %s", error)  # noqa: TRY400
    return made
