"""Where backups and the archive are kept, and in what form: a folder or a bucket, plain or sealed.

target      a folder, or a folder in a bucket: what is done with the files in it, in words that fit both
bucket      an S3-compatible bucket, and the paths in it
sealing     compressed, encrypted to public keys, or both; and the way back, for who has the key
signing     signatures of what is kept, and whose are trusted
regular_files  what others name or put there, opened without waiting for it for ever
documents   JSON that somebody else may have written
places      where a store, its backups and its archive are
errors      what is wrong with something that is kept there
vouching    small files that vouch for themselves
"""
