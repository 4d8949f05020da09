"""The sections of a report, each a question with what answers it, and the tiles above them.

headline        the figures that a reader looks at first
throughput      attempts, and how many of them failed
spikes          when tools began to fail, and what was changed before
latency         how long jobs waited, and how long they ran
lateness        jobs that were not done in time
retries         what was tried again, rescued or given up
budgets         the calls that rate limits left
configurations  who changed which configuration
growth          of the log and the database
"""
