"""What the user in an address of a nats-server means, by what a client tells the server."""

LOGINS: dict[str, dict[str, str]] = {
    "app:secret": {"user": "app", "pass": "secret"},
    "app:p%40ss%2Fw%3Ard%25": {"user": "app", "pass": "p@ss/w:rd%"},
    "a%3ab:p:w": {"user": "a:b", "pass": "p:w"},
    "app:%C3%A9t%C3%A9": {"user": "app", "pass": "été"},
    "app:100%,a%": {"user": "app", "pass": "100%,a%"},
    "app:": {"user": "app", "pass": ""},
    "t%2Fken": {"auth_token": "t/ken"},
}
