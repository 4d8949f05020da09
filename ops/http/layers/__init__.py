"""The layers that every request goes through: one concern a file.

addresses         who is counted as one
bodies            bodies while they arrive: how long each may take, and how much of all is kept
counting          counts requests by method and status
incidents         answers for defects
guard             keeps other sites out of browsers that reach us
limits            bounds the size, the time and the number of requests
places            how many requests are answered at once, and of whom
sending           answers on their way to readers who may be slow
throttle          how much one address may ask, and how many tokens it may guess
security_headers  tells browsers what they may do with an answer
"""
