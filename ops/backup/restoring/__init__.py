"""The way back: a store as it was, from a backup and the archive.

restore          a store as it was, in the place of the present one
plan             what a restore would do, without doing it
restore_path     the way to a moment: a backup, the archive, the present store
search           the search for a way, which passes over damaged files
going_on         the latest state: also from what is left of the present store
present          the present store, as far as it can be read
materialize      makes the file of the restored store
swap             puts that file in the place of the present store
seed             the store of a new member, made of backup and archive, on the same timeline
preparing        decrypts what a restore needs, for a service that has no key
repair           a damaged store made anew, where nothing is lost with it
repairs          the record of repairs that a service made by itself
recovery         the check of the store at the start, and what follows if it is damaged or gone
stopped_stream   the stream of events while no service runs: its highest timeline, its deletion
"""
