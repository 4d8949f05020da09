"""The log: the `events` table and its hashes, how it is read, and states made from it.

chain         rows chained by their hashes: appended, read, verified
cloud_events  a row as the CloudEvent that everybody gets
states        aggregates as the log has them
reading       a stream, a part of the log, a row as it was
answers       the remembered answers, told again from the log
rows_of_answers  the same out of a file that may be damaged, into another one
answers_in_order  the same behind a place, in the order in which they were given
search        events by what they were caused by, and by what is in them
begins        when attempts began that rates count
snapshot      one look at a store, and where the log is in it
damage        what is found damaged, by whomever
reader_pool   the connections that read
page_cache    how well SQLite's page cache does
"""
