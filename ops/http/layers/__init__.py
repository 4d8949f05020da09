"""What every request goes through: one concern a file.

counting          requests by path and status
guard             what a browser must not do for others
limits            how large, how slow, how many
throttle          who guesses tokens waits
security_headers  what a browser is told about a page
"""
