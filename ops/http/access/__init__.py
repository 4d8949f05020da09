"""The caller of a request, and what they may do.

attempts        records log-ins and refused callers in the audit log
authentication  finds the caller: by a token or a session, or anonymous if the settings allow it
certificates    finds the token or user for a client's certificate
links           makes links that log a browser in once
roles           what each role may do
tokens          makes, keeps and finds tokens
sessions        browsers that are logged in, and how requests of their own pages are recognised
"""
