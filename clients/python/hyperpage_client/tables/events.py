"""The table `events`. Made by `make client`."""

from hyperpage_client.queries.events import EventsQueries


class Events(EventsQueries):
    """The commands and queries of `events`."""
