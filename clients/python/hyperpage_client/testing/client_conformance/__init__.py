"""Checks that a client, in any language, does what clients must.

    python -m hyperpage_client.testing.client_conformance -- ./my-adapter

An adapter is a program around the client: it gets lines of JSON, and does what they say. Each case drives it
against a real service, over a wire that can disturb messages.

program        the command line
running        runs cases
cases          all cases
case           one case
setting        the service, the wire and the clients of a case
expecting      the checks that a case makes
adapter        the program under test
bench          the service that the program is tried on
wire           the wire between client and service
nats_messages  the messages on a wire
refused        refusals that a test cannot make a service give
subjects       the subjects that clients send to
"""
