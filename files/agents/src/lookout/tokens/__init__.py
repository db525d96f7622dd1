"""Tokens of programs that ask an API: made, listed, rotated and revoked by `lookout-token`.

A token is shown once. What is kept is its SHA-256, in a file that the API reads and cannot write.
A client has at most two tokens that are valid: after a rotation the former one ends half a minute
after the new one is first used, or when its time is over.
"""
