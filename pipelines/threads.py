"""Threads of the libraries, set once at the start of a process."""

from __future__ import annotations

import os

from threadpoolctl import threadpool_limits


def one_thread_for_blas() -> None:
    """One thread for NumPy's and SciPy's BLAS; FFTs and the network keep all cores.

    The matrices of coil maps are small, and OpenBLAS lets its threads spin after each product, for 20 to 50 ms in which the
    network's threads wait for a core. A number of threads that is set in the environment stays.
    """
    if "OPENBLAS_NUM_THREADS" in os.environ:
        return
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # of libraries that are loaded later
    threadpool_limits(1, user_api="blas")
