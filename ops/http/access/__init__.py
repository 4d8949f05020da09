"""Who asks over HTTP, and whether they may.

authentication  finds out who asks: a token, a session, or anybody on this machine
roles           what each role may do
tokens          makes, keeps and finds tokens
sessions        browsers that were logged in, and how their own pages are told from others
"""
