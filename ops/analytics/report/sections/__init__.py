"""The sections of a report, each with the figures that answer a question, and the tiles above them.

headline        the tiles: the most important figures
throughput      attempts, and how many of them failed
spikes          when tools began to fail, and the last change of their configuration before
latency         how long jobs waited, and how long they ran
lateness        jobs that were not done in time
retries         jobs that were tried again, rescued or given up
budgets         the calls that rate limits had left
configurations  who changed which configuration
growth          the growth of the log and the database
"""
