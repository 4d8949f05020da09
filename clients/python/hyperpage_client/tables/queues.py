"""The table `queues`. Made by `make client`."""

from hyperpage_client.queries.queues import QueuesQueries


class Queues(QueuesQueries):
    """Everything that can be asked of `queues`."""
