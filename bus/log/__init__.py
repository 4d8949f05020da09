"""The log as it is read: the `events` table, its hashes, and what is made of it.

chain         rows chained by their hashes: appended, read, verified
cloud_events  a row as the CloudEvent that everybody gets
states        aggregates as the log has them
reading       a stream, a part of the log, a row as it was
search        events by what they were caused by, and by what is in them
reader_pool   the connections that read
page_cache    what SQLite keeps of the file in memory
"""
