"""Whether a client, in whichever language, does what clients must.

    python -m hyperpage_client.testing.client_conformance -- ./my-adapter

An adapter is a program around the client: it gets lines of JSON, and does what they say. Each case drives it
against a real service, over a wire that can disturb what is said.

program        the command line
running        tries cases
cases          all of them
case           one case
setting        what a case has
expecting      what a case asks for
adapter        the program under test
bench          the service that it is tried on
wire           what lies between client and service
nats_messages  what goes over it
refused        refusals that a service cannot be brought to
subjects       where clients send
"""
