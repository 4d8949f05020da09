"""The layers that every request goes through: one concern a file.

counting          counts requests by method and status
incidents         answers for defects
guard             keeps other sites out of browsers that reach us
limits            bounds the size, the time and the number of requests
throttle          how much one address may ask, and how many tokens it may guess
security_headers  tells browsers what they may do with an answer
"""
