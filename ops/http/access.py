"""Who asks, and whether anybody may: `Access`."""

from starlette.requests import Request

from ops.http.roles import Principal

# Without any token, whoever reaches the loopback may do everything, as whoever sits at the machine.
ANYBODY = Principal(name="anybody on this machine", role="admin")


class Access:
    """Tells who asks."""

    def principal(self, request: Request) -> Principal:
        """Who asks.

        Raises:
            Unauthorized: nobody knows.
        """
        return ANYBODY
