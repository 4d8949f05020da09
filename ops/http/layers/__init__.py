"""What every request goes through: one concern a file.

counting          requests by path and status
incidents         what is answered where something is broken
guard             what a browser must not do for others
limits            how large, how slow, how many
throttle          who guesses tokens waits
security_headers  what a browser is told about a page
"""
