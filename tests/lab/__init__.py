"""The lab: experiments against the product's promises, with seeds that repeat them, for as long as wanted.

    make lab    or    python -m tests.lab [--minutes 60] [--only NAME ...] [--seed N] [--trials N]

experiment      the parts of an experiment: a promise, and the means against it, one trial by its seed
experiments     the list of all experiments: a new one is added there
oracle          checks of everything that must hold after any faults of a service
running         gives turns to experiments, each trial in a process of its own
trial           that process
results         the outcomes, as JSON that runs add to
page            docs/reliability.md and its badge, made from the results
found           the defects that faults have found, and the gaps: the other half of that page
cuts            a file system that records syncs: a service starts on what a power cut may leave
killing         services, brokers, both, killed while they work
linearizability a check that overlapping operations can be put in an order, one after the other
registers       the model of a key for such histories; keys, the clients that make them
fuzzing         bytes that no client would send, to everything that reads some
simulation      the write path on a model of everything around it, under one seeded scheduler
state_machines  stories that Hypothesis makes of real parts, each beside a model
clusters        several services that follow one log, and what they run on, cut and killed at random
machines        the whole service on machines that fail: power, disks, links, clocks, limits
"""
