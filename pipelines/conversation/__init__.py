"""One scan over one connection, as node and server hold it: opening, items, images, end.

conversation   from the opening to the end, with every way to fail
terms          what the other side is told
end            the goodbye: drained, closed, or an error that can be read
eager_reader   input is read at once, by a thread of its own, within a bound
memory         what a scan will take, before it takes it
"""
