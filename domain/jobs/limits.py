"""How much and how long: the defaults and bounds of jobs. Times are in milliseconds."""

DEFAULT_QUEUE = "default"
DEFAULT_PRIORITY = 2
DEFAULT_MAXIMUM_ATTEMPTS = 5
DEFAULT_LEASE_MS = 30_000
# An attempt that takes longer is ended, even if its worker is alive.
DEFAULT_TIMEOUT_MS = 900_000
MAXIMUM_TIMEOUT_MS = 7 * 86_400_000
MAXIMUM_WINDOW_MS = 366 * 86_400_000
MAXIMUM_RESULT_TTL_MS = 366 * 86_400_000
MAXIMUM_DEPENDENCIES = 100
# How many jobs that wait for another one are decided about in one command; later commands take the rest.
DEPENDENTS_AT_ONCE = 100
MAXIMUM_TAGS = 32
# The most jobs with a key that a throttle lets through in its window: the service reads each of them.
MAXIMUM_THROTTLED = 100
# The most characters of an error's text, and of its traceback.
MAXIMUM_ERROR_CHARACTERS = 10_000
MAXIMUM_TRACEBACK_CHARACTERS = 10_000
# The most bytes of a payload, or of a result.
MAXIMUM_JSON_BYTES = 256 * 1024
# The most attempts of an imported job: its event, which carries all of them, has to fit into a message.
MAXIMUM_IMPORTED_ATTEMPTS = 1_000
MAXIMUM_IMPORT_BYTES = 700 * 1024
# How often a job is rescued: when a third worker is lost with it, the job fails.
MAXIMUM_RESCUES = 2
RESCUE_DELAY_MS = 5_000
# The delays before a job without a retry policy of its own is tried again.
BACKOFF_BASE_MS = 5_000
BACKOFF_FACTOR = 2.0
BACKOFF_CAP_MS = 3_600_000
BACKOFF_JITTER = 0.5
# The bounds of a job's own retry policy: delays of a month at most, a hundred of them in a list.
MAXIMUM_RETRY_DELAY_MS = 31 * 86_400_000
MAXIMUM_RETRY_DELAYS = 100
MAXIMUM_BACKOFF_FACTOR = 10
PROGRESS_EVENT_INTERVAL_MS = 30_000
