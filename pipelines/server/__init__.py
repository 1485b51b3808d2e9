"""The warm server: many scans at once, and no image lost when a part of it fails.

settings     ServeSettings
front        Front: takes connections, watches everything else; parses nothing from the network, never loads torch
admission    how many scans, and how much memory, at once
health       /healthz, /readyz, /metrics
supervision  Worker: start, restart with back-off
processes    children that end with their parent
session      one scan in a process of its own: opening -> chain -> images
opening      who is calling (Gadgetron's <connect>, an ISMRMRD client, FIRE), and what for
peer         PeerConnection: wire.Connection that says errors in the caller's words
remote       the prior's reconstructions, done by the worker
jobs         a slice to and from the worker, framed
waiting      the worker's queue: live scans first
worker       one process a GPU, or one on the CPU, with the prior loaded
logs         JSON lines with the measurement's id
"""
