"""The places of backups and the archive, and the form of their files: a folder or a bucket, plain or sealed.

target      a folder, or a folder in a bucket: functions for the files in it that work for both
bucket      an S3-compatible bucket, and the paths in it
sealing     compression, encryption to public keys, or both; and the way back with the secret key
signing     signatures of backups and segments, and the keys that are trusted
regular_files  opens files that other users named or made, without waiting for ever
documents   JSON that another program may have written
places      the places of a store, its backups and its archive
errors      the error of a backup or a segment
vouching    small files with a checksum and a signature of their own
"""
