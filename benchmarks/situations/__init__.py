"""Scans as scanners and converters write them: each is an edit of a plain one, whose truth is known."""
