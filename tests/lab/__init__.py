"""The lab: experiments against what is promised, with seeds that repeat them, for as long as wanted.

    make lab    or    python -m tests.lab [--minutes 60] [--only NAME ...] [--seed N] [--trials N]

experiment      what an experiment is: a promise, and what is done against it, one trial by its seed
experiments     all of them: whoever has a new one adds it there
oracle          what must hold after whatever was done to a service
running         gives turns to them, each trial in a process of its own
trial           that process
results         what came of it, as JSON that runs add to
page            docs/reliability.md and its badge, made of them
found           what faults have found so far, and what is not covered: the other half of that page
cuts            a file system that remembers syncs: what a power cut may leave is started
killing         services, brokers, both, killed while they work
linearizability whether a history of overlapping operations can be told as one after the other
registers       keys as such histories have them; keys, how clients make them
fuzzing         bytes that nobody would send, to everything that reads some
simulation      the write path on a model of everything around it, under one seeded scheduler
state_machines  stories that Hypothesis makes of real parts, each beside a model
clusters        several services that follow one log, and what they run on, cut and killed at random
machines        the whole service on machines that fail: power, disks, links, clocks, limits
"""
