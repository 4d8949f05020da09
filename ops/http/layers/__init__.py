"""The layers that every request goes through: one concern a file.

addresses         the network that a caller's address counts as
bodies            bodies while they arrive: how long each may take, and how much of all is kept
counting          counts requests by method and status
incidents         answers for defects
guard             refuses requests that other sites make a browser send
limits            bounds the size, the time and the number of requests
places            how many requests are answered at once, in all, of one address and of one token
sending           sends answers, and cuts off readers that are too slow
throttle          how many requests an address may send, and how many tokens it may guess
security_headers  tells browsers what they may do with an answer
"""
