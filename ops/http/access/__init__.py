"""Who asks over HTTP, and whether they may.

authentication  a token, a session, or anybody on this machine
roles           what a role may do
tokens          tokens as they are made, kept and found
sessions        a browser that showed a token, and the requests that its own pages make
"""
