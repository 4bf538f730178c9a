"""`bedplate demo`: kill clients and a server in the middle of the work, then recount.

It imports nothing: its clients are processes of their own, which would all wait for that.
"""
