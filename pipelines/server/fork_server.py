"""Imported by the fork server alone, first of all.

A signal to the whole group must not take every scan with it. And when the fork server ends, it does so at once: to take down
what it has loaded would take seconds, and is of use to nobody.
"""

import atexit
import os
import signal

for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
    signal.signal(number, signal.SIG_IGN)
atexit.register(os._exit, 0)
