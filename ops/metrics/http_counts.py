"""Counts of requests over HTTP: `HttpCounts`."""

from bus.measures import Histogram, Tally


class HttpCounts:
    """Counts since the server started. Written on the event loop's thread, read by any thread."""

    def __init__(self) -> None:
        self.requests = Tally()
        """By method and status."""
        self.durations = Histogram()
        """In seconds, of responses that end by themselves."""
        self.streams = 0
        """Streams of events that are open now."""
        self.connections = 0
        """Connections that are open now."""
        self.gave_way = 0
        """Connections that only waited, and were ended for new ones."""
