"""A scan through a running server.

request    where, which chain, which files
exchange   the conversation: everything sent, everything received, bounded in time
pacing     lines sent as fast as the scanner made them
images     the images that came back, for replay
"""
