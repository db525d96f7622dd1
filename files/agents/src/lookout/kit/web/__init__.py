"""What agents share that answer requests of their own: the server, TLS, answers, descriptions.

Whoever has no such server does not load it: it needs Debian's python3-uvicorn and -starlette.
"""
