"""Threads of the libraries, set once at the start of a process."""

from __future__ import annotations

import os

from threadpoolctl import threadpool_limits

BLAS_THREADS = "OPENBLAS_NUM_THREADS"
ENVIRONMENT = {BLAS_THREADS: "1", "GOMP_SPINCOUNT": "3000"}


def calm_threads() -> None:
    """Keep threads that wait from spinning in the way of those that work; what is set in the environment stays.

    NumPy's and SciPy's BLAS get one thread: the matrices of coil maps are small, and OpenBLAS lets its threads spin for 20 to
    50 ms after each product. OpenMP's threads, which compute the network, spin for longer than the gap between two layers, and
    not for the milliseconds of data consistency between two evaluations. The latter holds if torch is not loaded yet.
    """
    blas_is_set = BLAS_THREADS in os.environ
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if not blas_is_set:  # libraries that are loaded later find the variable
        threadpool_limits(1, user_api="blas")
