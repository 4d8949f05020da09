"""How much and how long: the defaults and bounds of jobs. Times are in milliseconds."""

DEFAULT_QUEUE = "default"
DEFAULT_PRIORITY = 2
DEFAULT_MAXIMUM_ATTEMPTS = 5
DEFAULT_LEASE_MS = 30_000
# An attempt that takes longer is ended, however alive its worker is.
DEFAULT_TIMEOUT_MS = 900_000
MAXIMUM_TIMEOUT_MS = 7 * 86_400_000
MAXIMUM_WINDOW_MS = 366 * 86_400_000
MAXIMUM_DEPENDENCIES = 100
# How many of the jobs that wait for one are decided about in one command; the rest follows.
DEPENDENTS_AT_ONCE = 100
MAXIMUM_TAGS = 32
# The most of an error's text, and of its traceback.
MAXIMUM_ERROR_CHARACTERS = 10_000
MAXIMUM_TRACEBACK_CHARACTERS = 10_000
# The most bytes of a payload, or of a result.
MAXIMUM_JSON_BYTES = 256 * 1024
# The most attempts of an imported job: its event, which carries all of them, has to fit into a message.
MAXIMUM_IMPORTED_ATTEMPTS = 1_000
MAXIMUM_IMPORT_BYTES = 700 * 1024
# How often a job is rescued: one that took so many workers with it is not handed to a further one.
MAXIMUM_RESCUES = 3
RESCUE_DELAY_MS = 5_000
BACKOFF_BASE_MS = 5_000
BACKOFF_CAP_MS = 3_600_000
PROGRESS_EVENT_INTERVAL_MS = 30_000


def backoff_ms(attempt: int, random: float) -> int:
    """How long to wait after the given attempt (1, 2, …): doubling, half of it jitter, at most an hour."""
    exponential = BACKOFF_BASE_MS * 2 ** min(attempt - 1, 32) / 2 * (1 + random)
    return int(min(BACKOFF_CAP_MS, exponential))
