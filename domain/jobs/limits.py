"""How much and how long: the defaults and bounds of jobs. Times are in milliseconds."""

DEFAULT_QUEUE = "default"
DEFAULT_PRIORITY = 2
DEFAULT_MAXIMUM_ATTEMPTS = 5
DEFAULT_LEASE_MS = 30_000
# An attempt that takes longer is ended, however alive its worker is.
DEFAULT_TIMEOUT_MS = 900_000
MAXIMUM_TIMEOUT_MS = 7 * 86_400_000
MAXIMUM_WINDOW_MS = 366 * 86_400_000
MAXIMUM_RESULT_TTL_MS = 366 * 86_400_000
MAXIMUM_DEPENDENCIES = 100
# How many of the jobs that wait for one are decided about in one command; the rest follows.
DEPENDENTS_AT_ONCE = 100
MAXIMUM_TAGS = 32
# The most jobs with a key that a throttle lets through in its window: each of them is looked at.
MAXIMUM_THROTTLED = 100
# The most of an error's text, and of its traceback.
MAXIMUM_ERROR_CHARACTERS = 10_000
MAXIMUM_TRACEBACK_CHARACTERS = 10_000
# The most bytes of a payload, or of a result.
MAXIMUM_JSON_BYTES = 256 * 1024
# The most attempts of an imported job: its event, which carries all of them, has to fit into a message.
MAXIMUM_IMPORTED_ATTEMPTS = 1_000
MAXIMUM_IMPORT_BYTES = 700 * 1024
# How often a job is rescued: one that takes a third worker with it is not handed to a further one.
MAXIMUM_RESCUES = 2
RESCUE_DELAY_MS = 5_000
# When a job is tried again that has chosen nothing else.
BACKOFF_BASE_MS = 5_000
BACKOFF_FACTOR = 2.0
BACKOFF_CAP_MS = 3_600_000
BACKOFF_JITTER = 0.5
# What a job may choose: delays of a month at most, a hundred of them in a list.
MAXIMUM_RETRY_DELAY_MS = 31 * 86_400_000
MAXIMUM_RETRY_DELAYS = 100
MAXIMUM_BACKOFF_FACTOR = 10
PROGRESS_EVENT_INTERVAL_MS = 30_000
