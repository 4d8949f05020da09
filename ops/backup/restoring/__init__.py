"""The way back: a store as it was, from a backup and the archive.

restore          a store as it was, in the place of the present one
plan             what one would do
restore_path     what leads to a moment: a backup, the archive, the present store
search           the same, which passes over what turns out to be damaged
going_on         the latest: all that leads on, of the present store, too
present          the present store, as far as it can be read
materialize      makes the file
swap             puts it in the place of the present one
seed             a store of another one's backup and archive, which goes on as that one
preparing        what a restore needs, made readable for a service that has no key
repair           a damaged store made anew, where nothing is lost with it
repairs          what a service has repaired by itself
recovery         what becomes of a store that is found damaged, or gone, at the start
stopped_stream   the stream of events while no service runs: the highest timeline that it knows, its end
"""
