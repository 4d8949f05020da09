"""The table `queues`. Made by `make client`."""

from hyperpage_client.queries.queues import QueuesQueries


class Queues(QueuesQueries):
    """The commands and queries of `queues`."""
