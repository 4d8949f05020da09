"""The tables, for programs without an event loop. Made by `make client`."""

from hyperpage_client.sync.portal import Table, asked, iterated
from hyperpage_client.tables import app_state, events, jobs, queues, rate_limits, schedules, tool_configs


class Jobs(Table):
    """The commands and queries of `jobs`; each call returns with its answer."""

    enqueue = asked(jobs.Jobs.enqueue)
    claim = asked(jobs.Jobs.claim)
    heartbeat = asked(jobs.Jobs.heartbeat)
    progress = asked(jobs.Jobs.progress)
    complete = asked(jobs.Jobs.complete)
    fail = asked(jobs.Jobs.fail)
    snooze = asked(jobs.Jobs.snooze)
    interrupt = asked(jobs.Jobs.interrupt)
    cancel = asked(jobs.Jobs.cancel)
    ack_cancel = asked(jobs.Jobs.ack_cancel)
    retry = asked(jobs.Jobs.retry)
    hold = asked(jobs.Jobs.hold)
    release = asked(jobs.Jobs.release)
    reschedule = asked(jobs.Jobs.reschedule)
    reprioritize = asked(jobs.Jobs.reprioritize)
    update_payload = asked(jobs.Jobs.update_payload)
    archive = asked(jobs.Jobs.archive)
    cancel_many = asked(jobs.Jobs.cancel_many)
    retry_many = asked(jobs.Jobs.retry_many)
    pause_queue = asked(jobs.Jobs.pause_queue)
    resume_queue = asked(jobs.Jobs.resume_queue)
    limit_queue = asked(jobs.Jobs.limit_queue)
    get = asked(jobs.Jobs.get)
    list = iterated(jobs.Jobs.list)
    count = asked(jobs.Jobs.count)
    count_by = asked(jobs.Jobs.count_by)
    history = iterated(jobs.Jobs.history)
    as_of = asked(jobs.Jobs.as_of)
    browse = iterated(jobs.Jobs.browse)
    attempts = iterated(jobs.Jobs.attempts)
    group = asked(jobs.Jobs.group)
    stats = asked(jobs.Jobs.stats)
    throughput = asked(jobs.Jobs.throughput)
    workers = asked(jobs.Jobs.workers)
    running = iterated(jobs.Jobs.running)
    await_ = asked(jobs.Jobs.await_)


class Queues(Table):
    """The commands and queries of `queues`; each call returns with its answer."""

    get = asked(queues.Queues.get)
    list = iterated(queues.Queues.list)
    count = asked(queues.Queues.count)
    history = iterated(queues.Queues.history)
    as_of = asked(queues.Queues.as_of)


class Schedules(Table):
    """The commands and queries of `schedules`; each call returns with its answer."""

    set = asked(schedules.Schedules.set)
    delete = asked(schedules.Schedules.delete)
    pause = asked(schedules.Schedules.pause)
    resume = asked(schedules.Schedules.resume)
    trigger = asked(schedules.Schedules.trigger)
    get = asked(schedules.Schedules.get)
    list = iterated(schedules.Schedules.list)
    count = asked(schedules.Schedules.count)
    history = iterated(schedules.Schedules.history)
    as_of = asked(schedules.Schedules.as_of)
    preview = asked(schedules.Schedules.preview)


class RateLimits(Table):
    """The commands and queries of `rate_limits`; each call returns with its answer."""

    observe = asked(rate_limits.RateLimits.observe)
    observe_response = asked(rate_limits.RateLimits.observe_response)
    throttle = asked(rate_limits.RateLimits.throttle)
    set_thresholds = asked(rate_limits.RateLimits.set_thresholds)
    reserve = asked(rate_limits.RateLimits.reserve)
    release = asked(rate_limits.RateLimits.release)
    clear = asked(rate_limits.RateLimits.clear)
    get = asked(rate_limits.RateLimits.get)
    list = iterated(rate_limits.RateLimits.list)
    count = asked(rate_limits.RateLimits.count)
    history = iterated(rate_limits.RateLimits.history)
    as_of = asked(rate_limits.RateLimits.as_of)
    may_call = asked(rate_limits.RateLimits.may_call)
    forecast = asked(rate_limits.RateLimits.forecast)


class ToolConfigs(Table):
    """The commands and queries of `tool_configs`; each call returns with its answer."""

    set = asked(tool_configs.ToolConfigs.set)
    patch = asked(tool_configs.ToolConfigs.patch)
    enable = asked(tool_configs.ToolConfigs.enable)
    disable = asked(tool_configs.ToolConfigs.disable)
    set_refresh_interval = asked(tool_configs.ToolConfigs.set_refresh_interval)
    set_notifications = asked(tool_configs.ToolConfigs.set_notifications)
    rollback = asked(tool_configs.ToolConfigs.rollback)
    delete = asked(tool_configs.ToolConfigs.delete)
    register_schema = asked(tool_configs.ToolConfigs.register_schema)
    remove_schema = asked(tool_configs.ToolConfigs.remove_schema)
    validate = asked(tool_configs.ToolConfigs.validate)
    get = asked(tool_configs.ToolConfigs.get)
    list = iterated(tool_configs.ToolConfigs.list)
    count = asked(tool_configs.ToolConfigs.count)
    history = iterated(tool_configs.ToolConfigs.history)
    as_of = asked(tool_configs.ToolConfigs.as_of)
    diff = asked(tool_configs.ToolConfigs.diff)


class AppState(Table):
    """The commands and queries of `app_state`; each call returns with its answer."""

    set = asked(app_state.AppState.set)
    set_if = asked(app_state.AppState.set_if)
    delete = asked(app_state.AppState.delete)
    set_many = asked(app_state.AppState.set_many)
    get = asked(app_state.AppState.get)
    list = iterated(app_state.AppState.list)
    count = asked(app_state.AppState.count)
    history = iterated(app_state.AppState.history)
    as_of = asked(app_state.AppState.as_of)


class Events(Table):
    """The commands and queries of `events`; each call returns with its answer."""

    read = iterated(events.Events.read)
    find = asked(events.Events.find)
    chain = asked(events.Events.chain)
