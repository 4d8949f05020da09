"""A store that may be served: `make_sound`, before it is opened."""

import asyncio
import logging

from ops.backup.restoring.recovery import require_sound_store
from ops.backup.restoring.swap import settle
from ops.settings import Settings

logger = logging.getLogger(__name__)


async def make_sound(settings: Settings, version: str, *, after_a_crash: bool) -> None:
    """Ends a restore that was cut off, and recovers a store that is damaged or gone.

    Raises:
        DamagedStoreError: it is damaged or gone, and was left as it is.
        OSError: there is no store, and it cannot be seen whether there is a backup of one.
    """
    if (which := settle(settings.store_path)) is not None:
        logger.warning("%s", which)
    recovered = await asyncio.to_thread(
        require_sound_store, settings, after_a_crash=after_a_crash, version=version
    )
    if recovered is not None:
        for reason in recovered.passed_over.values():
            logger.error("passed over: %s", reason)
        logger.error("the store is as it was at position %d", recovered.position)
