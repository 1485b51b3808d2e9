"""Imported by the fork server alone, first of all.

SIGTERM to the whole group must not take every scan with it. And when the fork server ends, it does so at once: to take down
what it has loaded would take seconds, and is of use to nobody.
"""

import atexit
import os
import signal

signal.signal(signal.SIGTERM, signal.SIG_IGN)
atexit.register(os._exit, 0)
