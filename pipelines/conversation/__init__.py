"""One scan over one connection, for node and server: items are received, images are sent.

conversation   receives, reconstructs and sends, from the beginning to the end, and handles all failures
types          settings, opening and report of a conversation
end            ends a connection so that no data or error message is lost
eager_reader   reads the input in a thread of its own, within a memory limit
memory         estimates the memory of a scan before the scan takes it
"""
