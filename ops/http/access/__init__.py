"""The caller of a request, and what they may do.

authentication  finds the caller: a token, a session, or anybody on this machine
certificates    clients that show a certificate, and which token is theirs
roles           what each role may do
tokens          makes, keeps and finds tokens
sessions        browsers that were logged in, and how their own pages are told from others
"""
