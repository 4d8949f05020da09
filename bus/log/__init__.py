"""The log: the `events` table and its hashes, how it is read, and states made from it.

chain         rows chained by their hashes: appended, read, verified
cloud_events  a row as the CloudEvent that subscribers get
states        aggregates as the log has them
reading       queries of a stream, of a part of the log, and of a row as it was
answers       the remembered answers, most of them told again from the log
rows_of_answers  remembered answers read from a file that may be damaged, and kept in another one
answers_in_order  remembered answers after a place, in the order in which they were given
search        events found by what is in them, and by their causes
begins        the begins of attempts that rates count
snapshot      reads that see a store at one moment, and where the log ends then
damage        the damage of a store that readers and writers have found
reader_pool   the connections that read
page_cache    the hits and misses of SQLite's page cache
"""
