import subprocess
import sys


def test_a_process_that_imports_it_outlives_sigterm():
    imports = "import os, signal, nilatron.pipelines.server.fork_server"
    code = f"{imports}; os.kill(os.getpid(), signal.SIGTERM); print('alive', flush=True)"
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", f"import sys; sys.path[:0] = {sys.path}; {code}"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == "alive\n"
