"""The caller of a request, and what they may do.

attempts        what the audit log hears of callers
authentication  finds the caller: a token, a session, or anybody where the settings say so
certificates    clients that show a certificate, and which token is theirs
links           makes links that log a browser in once
roles           what each role may do
tokens          makes, keeps and finds tokens
sessions        browsers that were logged in, and how their own pages are told from others
"""
