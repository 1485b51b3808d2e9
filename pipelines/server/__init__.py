"""The warm server: many scans at once, and no image lost when a part of it fails.

settings     ServeSettings
front        Front: takes connections, watches everything else; parses nothing from the network, never loads torch
listening    its ports, with a pause where the system has nothing left for a connection
openings     connections that have not said what they want: few of each address
folders      its temporary folder, and those of killed servers
places       who has a place for its scan, and who is refused
admission    how much memory each scan and each address has
memory_desk  who gets it at once, who waits, and who gives back what was only lent
metering     what lines need beyond the header, counted as they come
allowance    what one session may take of it
wall         the system's limit of the memory of a session or worker
health       /healthz, /readyz, /metrics
supervision  Worker: start, restart with back-off
processes    children that end with their parent
session      one scan in a process of its own: opening -> chain -> images
site_settings  time budgets and engine of the site, as limits of what a chain may ask for
opening      who is calling (Gadgetron's <connect>, an ISMRMRD client, FIRE), and what for
peer         PeerConnection: wire.Connection that says errors in the caller's words
remote       the prior's reconstructions, done by the worker
jobs         a slice to and from the worker, framed
job_queue    the worker's queue: a fair share for each scan
worker       one process a GPU, or one on the CPU, with the prior loaded
logs         JSON lines with the measurement's id
"""
